"""What a bundle of frames says of itself beside what every bundle does; read without torch."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from seqvae.errors import UserError
from seqvae.export.bundle_json import Reader

_LARGEST = 1 << 24
_GREATEST = 3.4e38


@dataclass(frozen=True)
class FramesFacts:
    """What flows in and out of the graphs of a model of frames.

    Attributes:
        features: numbers F of a frame.
        longest: most frames of a sequence.
        least: number of the corpus; black in a picture.
        greatest: number of the corpus; white.
        divide: what the raw numbers were divided by to be the corpus'.
        binarise: threshold, after that, above which a number became 1 and else 0; None: they were kept.
    """

    features: int
    longest: int
    least: float
    greatest: float
    divide: float = 1.0
    binarise: float | None = None


def read_frames(reader: Reader, value: object) -> FramesFacts:
    """The facts from the JSON value of the field `frames` of `seqvae.json`.

    Args:
        reader: of that file.
        value: of the field.

    Raises:
        UserError: a field is missing, unknown or out of bounds.
    """
    given = reader.mapping("frames", value)
    wanted = {item.name for item in dataclasses.fields(FramesFacts)}
    if given.keys() != wanted:
        odd = min(given.keys() ^ wanted)
        reader.refuse(f"frames.{odd[:80]}", given.get(odd, "absent"), "altered; export again")

    def number(name: str) -> float:
        return reader.number(f"frames.{name}", given[name], -_GREATEST, _GREATEST)

    divide = number("divide")
    if divide == 0:
        reader.refuse("frames.divide", divide, "nothing is divided by 0; export again")
    return FramesFacts(
        features=reader.integer("frames.features", given["features"], 1, _LARGEST),
        longest=reader.integer("frames.longest", given["longest"], 1, _LARGEST),
        least=number("least"),
        greatest=number("greatest"),
        divide=divide,
        binarise=None if given["binarise"] is None else number("binarise"),
    )


def facts_of_frames(features: int, longest: int, info: dict[str, Any]) -> FramesFacts:
    """The facts of a run.

    Args:
        features: numbers of a frame.
        longest: most frames.
        info: facts of the run, as it was trained.

    Raises:
        UserError: they are damaged.
    """
    settings = info.get("settings", {})
    try:
        least, greatest = map(float, info.get("range", (0.0, 1.0)))
        threshold = settings.get("binarise")
        return FramesFacts(
            features=features,
            longest=longest,
            least=least,
            greatest=greatest,
            divide=float(settings.get("divide", 1.0)),
            binarise=None if threshold is None else float(threshold),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"the facts of its frames are damaged ({error}); train again") from None
