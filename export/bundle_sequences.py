"""What a bundle of frames holds beside graphs: sequences whose outputs are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.errors import UserError
from seqvae.export.bundle import GOLDEN, Bundle
from seqvae.export.bundle_manifest import read_json

_FOLDER = "golden"
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class GoldenSequence:
    """A sequence whose outputs are known.

    Attributes:
        name: what it stands for.
        frames: the input, float32 [T, F].
        label: number of its label; None: the model is not conditional.
        target: number of the label under which it is written; None: `label`.
        options: those that are not at their defaults.
        written: what `model.onnx` of each variant makes of it, float32 [T, F], as ONNX Runtime's CPU provider
            computed it at export.
    """

    name: str
    frames: Floats
    label: int | None
    target: int | None
    options: dict[str, float]
    written: Mapping[str, Floats]


def sequences_document(folder: Path, sequences: Sequence[GoldenSequence]) -> dict[str, Any]:
    """The JSON value of `golden.json`; the numbers are written as files of NumPy's format.

    Args:
        folder: the bundle.
        sequences: with plain names, each another one.
    """
    (folder / _FOLDER).mkdir(exist_ok=True)

    def write(name: str, values: Floats) -> str:
        path = f"{_FOLDER}/{name}.npy"
        np.save(folder / path, np.ascontiguousarray(values, np.float32), allow_pickle=False)
        return path

    return {
        "rows": [
            {
                "name": one.name,
                "label": one.label,
                "target": one.target,
                "options": one.options,
                "frames": write(one.name, one.frames),
                "written": {v: write(f"{one.name}.{v}", w) for v, w in one.written.items()},
            }
            for one in sequences
        ]
    }


def read_sequences(bundle: Bundle) -> list[GoldenSequence]:
    """Sequences with their known outputs.

    Raises:
        UserError: the files are not as `seqvae export` writes them.
    """
    path = bundle.path / GOLDEN
    assert bundle.frames is not None
    features = bundle.frames.features

    def read(name: object) -> Floats:
        # Only what is listed: a name from the file leads nowhere else.
        if not isinstance(name, str) or name not in bundle.files:
            raise UserError(f"{path}: {name!r} is no file of the bundle; export again")
        values = np.load(bundle.path / name, allow_pickle=False)
        if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != features:
            raise UserError(f"{bundle.path / name}: not frames [T, {features}]; export again")
        found: Floats = values
        return found

    def number(value: object) -> int | None:
        return None if value is None else int(str(value))

    try:
        return [
            GoldenSequence(
                str(row["name"]),
                read(row["frames"]),
                number(row["label"]),
                number(row["target"]),
                dict(row["options"]),
                {str(variant): read(name) for variant, name in row["written"].items()},
            )
            for row in read_json(path)["rows"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not golden sequences ({error}); export again") from None
