"""Manifests of recordings for the speech benchmarks: what to learn from, and voices that are held back.

    python -m benchmarks.speech_data SPEECH OUT

SPEECH holds arctic/{bdl,slt}/*.flac with arctic/prompts.tsv, librispeech_mini/SPEAKER/*.flac and fsdd/SPEAKER/*.flac. Written to OUT, for
`seqvae prepare speech`: arctic.jsonl (two voices, the same sentences) and many.jsonl (these and most of the others);
and voices.json, the speakers of LibriSpeech that are in neither.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ARCTIC = ("bdl", "slt")
# LibriSpeech speakers that no training may hear.
HELD_OUT = 24
SEED = 0


def write_manifests(speech: Path, out: Path) -> None:
    """Write the manifests and the list of voices held back."""
    out.mkdir(parents=True, exist_ok=True)
    arctic = list(_arctic(speech / "arctic"))
    speakers = sorted(path for path in (speech / "librispeech_mini").iterdir() if path.is_dir())
    held = set(random.Random(SEED).sample([path.name for path in speakers], HELD_OUT))
    many = [row for path in speakers if path.name not in held for row in _folder(path, "libri-")]
    digits = sorted(path for path in (speech / "fsdd").iterdir() if path.is_dir())
    many += [row for path in digits for row in _folder(path, "fsdd-")]
    voices = {
        path.name: [str(file.resolve()) for file in sorted(path.glob("*.flac"))]
        for path in speakers
        if path.name in held
    }
    _write(out / "arctic.jsonl", arctic)
    _write(out / "many.jsonl", arctic + many)
    (out / "voices.json").write_text(json.dumps(voices, indent=1) + "\n", encoding="utf-8")


def _arctic(folder: Path) -> Iterator[dict[str, Any]]:
    lines = (folder / "prompts.tsv").read_text(encoding="utf-8").splitlines()
    for stem, text in (line.split("\t", 1) for line in lines):
        for speaker in ARCTIC:
            path = folder / speaker / f"{stem}.flac"
            yield {"audio_filepath": str(path.resolve()), "speaker": speaker, "text": text}


def _folder(folder: Path, prefix: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.flac")):
        yield {"audio_filepath": str(path.resolve()), "speaker": f"{prefix}{folder.name}"}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    write_manifests(Path(sys.argv[1]), Path(sys.argv[2]))
