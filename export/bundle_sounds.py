"""What a speech bundle holds beside graphs: the vectors of its voices, and sounds whose outputs are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.speech.energy import Floats
from seqvae.data.speech.wav import decode_wav, encode_wav
from seqvae.errors import UserError
from seqvae.export.bundle import GOLDEN, Bundle
from seqvae.export.bundle_json import Reader
from seqvae.export.bundle_manifest import read_json

VOICES = "voices.json"
_FOLDER = "golden"
_MOST_VOICES = 1_000_000


@dataclass(frozen=True, eq=False)
class GoldenSound:
    """A sound whose outputs are known.

    Attributes:
        name: what it stands for.
        samples: the input, float32 [N] at the bundle's rate.
        options: those that are not at their defaults.
        written: what `model.onnx` of each variant makes of it, float32 [N], as ONNX Runtime's CPU
            provider computed it at export.
    """

    name: str
    samples: Floats
    options: dict[str, float]
    written: Mapping[str, Floats]


def voices_document(voices: Mapping[str, Floats]) -> dict[str, Any]:
    """The JSON value of `voices.json`, given a vector [C] for each name."""
    # A float64 holds every float32, and JSON every float64.
    return {
        "voices": [
            {"name": name, "vector": np.asarray(vector, np.float64).tolist()}
            for name, vector in voices.items()
        ]
    }


def read_voices(bundle: Bundle) -> dict[str, Floats]:
    """The vector of every voice, float32 [C], by name; in the order of the graphs' `speaker`.

    Raises:
        UserError: the file is not as `seqvae export` writes it.
    """
    reader = Reader(bundle.path / VOICES)
    document = reader.mapping("the file", read_json(bundle.path / VOICES))
    rows = document.get("voices")
    if not isinstance(rows, list) or len(rows) > _MOST_VOICES:
        reader.refuse("voices", rows, "must be a list of voices")
    assert bundle.speech is not None
    found: dict[str, Floats] = {}
    for number, row in enumerate(rows):
        value = reader.mapping(f"voices[{number}]", row)
        name = reader.text(f"voices[{number}].name", value.get("name"))
        found[name] = _vector(reader, f"voices[{number}].vector", value, bundle.speech.condition)
    if tuple(found) != bundle.labels:
        reader.refuse(
            "voices", [*found][:3], "other names than labels of seqvae.json; export again"
        )
    return found


def _vector(reader: Reader, where: str, value: dict[str, Any], size: int) -> Floats:
    numbers = value.get("vector")
    fits = isinstance(numbers, list) and len(numbers) == size
    if not fits or not all(type(number) in (int, float) for number in numbers or ()):
        reader.refuse(where, numbers, f"must be {size} numbers")
    vector: Floats = np.array(numbers, np.float64).astype(np.float32)
    if not np.isfinite(vector).all():
        reader.refuse(where, numbers, "must be finite")
    return vector


def sounds_document(folder: Path, sounds: Sequence[GoldenSound], rate: int) -> dict[str, Any]:
    """The JSON value of `golden.json`; the sounds are written as WAV files of exact samples.

    Args:
        folder: the bundle.
        sounds: with plain names, each another one.
        rate: samples per second, Hz.
    """
    (folder / _FOLDER).mkdir(exist_ok=True)

    def write(name: str, samples: Floats) -> str:
        path = f"{_FOLDER}/{name}.wav"
        (folder / path).write_bytes(encode_wav(samples, rate, exact=True))
        return path

    return {
        "rows": [
            {
                "name": one.name,
                "options": one.options,
                "audio": write(one.name, one.samples),
                "written": {v: write(f"{one.name}.{v}", w) for v, w in one.written.items()},
            }
            for one in sounds
        ]
    }


def read_sounds(bundle: Bundle) -> list[GoldenSound]:
    """Sounds with their known outputs.

    Raises:
        UserError: the files are not as `seqvae export` writes them.
    """
    path = bundle.path / GOLDEN

    def read(name: object) -> Floats:
        # Only what is listed: a name from the file leads nowhere else.
        if not isinstance(name, str) or name not in bundle.files:
            raise UserError(f"{path}: {name!r} is no file of the bundle; export again")
        return decode_wav((bundle.path / name).read_bytes(), name)[0][:, 0]

    try:
        return [
            GoldenSound(
                str(row["name"]),
                read(row["audio"]),
                dict(row["options"]),
                {str(variant): read(name) for variant, name in row["written"].items()},
            )
            for row in read_json(path)["rows"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not golden sounds ({error}); export again") from None
