"""The bench of judges: every item before every referee that can say something of it, resumably."""

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from seqvae.evaluation.referees import (
    distance,
    enhancement,
    pitch,
    quality,
    speaker,
    summary,
    words,
)
from seqvae.evaluation.referees.job import Item, Job
from seqvae.evaluation.referees.sound import Samples, digest, hear

# Raised when a referee's answer to the same sounds changes: what was judged before is judged again.
VERSION = 2
NEEDS: Mapping[str, tuple[str, ...]] = {
    "words": words.NEEDS,
    "speaker": speaker.NEEDS,
    "quality": quality.NEEDS,
    "distance": distance.NEEDS,
    "pitch": pitch.NEEDS,
    "enhancement": enhancement.NEEDS,
}
# Items judged between two saves.
SAVE_EVERY = 10


def absent(referee: str) -> tuple[str, ...]:
    """Packages that a referee needs and this Python lacks."""
    return tuple(name for name in NEEDS[referee] if importlib.util.find_spec(name) is None)


class Bench:
    """Judges a job's items.

    Args:
        job: what to judge.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        missing = {referee: absent(referee) for referee in job.referees}
        self.missing = {referee: packages for referee, packages in missing.items() if packages}
        self.sitting = [r for r in job.referees if r not in self.missing]
        self.voices = {name: [Path(p) for p in files] for name, files in job.voices.items()}
        self._pitches: dict[str, float] = {}

    def sit(self, out: Path, tell: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Judge everything that `out` does not hold an answer for, and write `out`.

        Args:
            out: JSON file; what it already says of the same sounds by the same referees stays.
            tell: told how many of how many items are judged.

        Returns:
            What was written: `items` (each with `values`, and `errors` by referee), `groups` (see `summary`),
            `voices` (likeness of the voices to each other), `missing` (referees that are not installed, and their
            packages).
        """
        known = _read(out)
        answers: list[dict[str, Any]] = []
        for number, item in enumerate(self.job.items):
            key = self._key(item)
            answer = known.get(key)
            if answer is None:
                answer = {"key": key, **_judge(self._hearings(item))}
            answers.append({"item": asdict(item), **answer})
            if tell is not None:
                tell(number + 1, len(self.job.items))
            if (number + 1) % SAVE_EVERY == 0 and key not in known:
                _write(out, {"version": VERSION, "items": answers, "unfinished": True})
        result = {
            "version": VERSION,
            "items": answers,
            "groups": summary.groups(answers),
            "voices": self._gallery.table() if "speaker" in self.sitting and self.voices else {},
            "missing": {name: list(packages) for name, packages in self.missing.items()},
        }
        _write(out, result)
        return result

    def _hearings(self, item: Item) -> dict[str, Callable[[], dict[str, Any]]]:
        """The referees that have something to say of an item."""
        audio, target, text, source = Path(item.audio), item.target, item.text, item.source
        reference, clean = (None if p is None else Path(p) for p in (item.reference, item.clean))
        found: dict[str, Callable[[], dict[str, Any]]] = {
            "quality": lambda: quality.judge(hear(audio))
        }
        if text is not None:
            found["words"] = lambda: words.judge(hear(audio), text)
        if target is not None:
            found["speaker"] = lambda: self._gallery.judge(hear(audio), target, source)
        if reference is not None:
            found["distance"] = lambda: distance.judge(hear(audio), hear(reference))
        if reference is not None or self.voices.get(target or ""):
            found["pitch"] = lambda: pitch.judge(
                hear(audio),
                None if reference is None else hear(reference),
                None if reference is not None else self._usual(target or ""),
            )
        if clean is not None:
            found["enhancement"] = lambda: enhancement.judge(hear(audio), hear(clean))
        return {name: hearing for name, hearing in found.items() if name in self.sitting}

    def _key(self, item: Item) -> str:
        """Of all that an item's answers depend on: sounds by their contents."""
        try:
            contents = digest(*item.files)
        except OSError:
            contents = "unreadable"
        parts = [VERSION, asdict(item) | {"audio": "", "reference": "", "clean": "", "group": ""}]
        parts += [contents, sorted(self._hearings(item)), self._voices_key]
        return sha256(json.dumps(parts).encode()).hexdigest()

    @cached_property
    def _voices_key(self) -> str:
        named = [[name, digest(*files)] for name, files in sorted(self.voices.items())]
        return sha256(json.dumps(named).encode()).hexdigest()

    @cached_property
    def _heard(self) -> dict[str, list[Samples]]:
        return {name: [hear(path) for path in files] for name, files in self.voices.items()}

    def _usual(self, voice: str) -> float:
        if voice not in self._pitches:
            self._pitches[voice] = pitch.usual(self._heard[voice])
        return self._pitches[voice]

    @cached_property
    def _gallery(self) -> speaker.Voices:
        return speaker.Voices(self._heard)


def _judge(hearings: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, hearing in hearings.items():
        try:
            values |= hearing()
        # A referee is foreign code and may raise anything at a strange sound; that is counted, not fatal.
        except Exception as error:  # noqa: BLE001
            errors[name] = f"{type(error).__name__}: {error}"
    return {"values": values, "errors": errors}


def _read(out: Path) -> dict[str, dict[str, Any]]:
    """Answers that a file holds, by key; those with errors are asked for again."""
    try:
        data = json.loads(out.read_text(encoding="utf-8"))
        items = data["items"] if data["version"] == VERSION else []
        return {
            i["key"]: {name: i[name] for name in ("key", "values", "errors")}
            for i in items
            if not i["errors"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
