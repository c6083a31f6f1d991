"""Bad and odd recordings before the command line: a clear error or a right answer; bar 6 of issue D.

    python -m benchmarks.speech_bad_input

Makes every kind of file, prepares a corpus with it among good ones, and converts it with a run that is trained
here for two steps: what is judged is not how it sounds, but that the length is right, every sample a number, the
words of an error say which file and why, and an hour takes no more memory than two minutes. Result:
benchmarks/results/speech/bad_input.json.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tyro

from benchmarks.record import ROOT, ledger, write_result
from seqvae.vocoders import GriffinLim, save_vocoder
from tests.tasks.speech.sounds import RATE, babble

RESULT = "speech/bad_input"
# Kilobytes that the hour may take beyond the two minutes; the samples alone would be 230 MB.
FLAT = 60_000
TINY = (
    "--model.content.width 16 --model.content.layers 1 --model.style.width 16 --model.style.layers 1 "
    "--model.decoder.width 16 --model.decoder.layers 1 --model.decoder.fine-width 16 "
    "--model.pitch-reader.width 8 --model.pitch-reader.layers 1 --model.batch 4 --steps 2"
)
SOUND = babble(1.5)


@dataclass(frozen=True)
class Case:
    """A file, and what shall become of it.

    Attributes:
        name: of the case.
        make: writes the file.
        prepared: why it is left out of a corpus; None: it is kept.
        refused: words of the error of a conversion; None: it is converted.
    """

    name: str
    make: Callable[[Path], object]
    prepared: str | None = None
    refused: str | None = None


def _save(samples: np.ndarray, rate: int = RATE, **options: Any) -> Callable[[Path], object]:  # noqa: ANN401
    return lambda path: soundfile.write(path, samples, rate, **options)


def _infinite() -> np.ndarray:
    samples = SOUND.copy()
    samples[500] = np.inf
    return samples


CASES = (
    Case("silence", _save(np.zeros(RATE, np.float32)), prepared="silence"),
    Case("10 ms clip", _save(SOUND[:160]), prepared="too short", refused="10 ms long"),
    Case("8 kHz", _save(babble(1.5, rate=8000), 8000)),
    Case("96 kHz", _save(babble(1.5, rate=96_000), 96_000)),
    Case("stereo", _save(np.stack([SOUND, 0.3 * SOUND], 1))),
    Case(
        "float with inf",
        _save(_infinite(), subtype="FLOAT"),
        prepared="values that are no numbers",
        refused="no numbers",
    ),
    Case("24 bit", _save(SOUND, subtype="PCM_24")),
    Case(
        "text named .wav",
        lambda path: path.write_text("It was a dark and stormy night."),
        prepared="not a sound file",
        refused="not a sound file",
    ),
)


def run(minutes: float = 60.0) -> None:
    """Try everything, write the result and the bar's row.

    Args:
        minutes: length of the long file.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _voices(Path("voices"))
        rows = [_trained()]
        rows += [_converted(case) for case in CASES]
        rows += _prepared()
        rows += [_one_clip(), *_other_mels()]
        rows += _long(minutes)
    passed = sum(row["right"] for row in rows)
    for row in rows:
        print(f"{'right' if row['right'] else 'WRONG':6} {row['case']}: {row['outcome']}")
    path = write_result(RESULT, {"long_minutes": minutes, "right": passed, "cases": rows})
    what = "bad input: a clear error or a right answer, an hour's memory flat"
    ledger(
        "D",
        [
            {
                "bar": "6",
                "what": what,
                "target": f"{len(rows)} of {len(rows)}",
                "figure": f"{passed} of {len(rows)}",
                "met": passed == len(rows) and minutes >= 60,
                "result_file": path,
            }
        ],
    )


def _voices(folder: Path) -> None:
    """Two speakers with a dozen recordings each."""
    for name, pitch in (("anna", 210.0), ("ben", 110.0)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            _save(babble(1.5, pitch, seed=number))(folder / name / f"{number}.wav")


def _seqvae(command: str) -> tuple[int, str]:
    """Status of a command, and all it said."""
    status, said, _ = _measured(command)
    return status, said


def _measured(command: str) -> tuple[int, str, int]:
    """Status of a command, all it said, and the most memory it held, kilobytes."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "seqvae.cli", *shlex.split(command)],
            # Boxes as wide as the words of an error.
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return child.returncode, said.read(), usage.ru_maxrss


def _row(case: str, verb: str, right: bool, outcome: str) -> dict[str, Any]:
    return {"case": f"{case}, {verb}", "right": right, "outcome": outcome}


def _error(case: str, command: str, *words: str) -> dict[str, Any]:
    """A command that must fail and say why."""
    status, said = _seqvae(command)
    right = status != 0 and "Traceback" not in said and all(word in said for word in words)
    return _row(case, command.split()[0], right, said.strip().splitlines()[-1])


def _trained() -> dict[str, Any]:
    _seqvae("prepare speech voices data")
    status, said = _seqvae(f"train data run {TINY}")
    # An hour of sound in minutes: how it sounds is not asked.
    vocoder = GriffinLim(iterations=1, inverse="pseudo")
    from seqvae.training import load_speech

    save_vocoder(vocoder.build(load_speech("run").settings), vocoder, Path("run/vocoder"))
    return _row("two voices", "train", status == 0, said.strip().splitlines()[-1][:120])


def _converted(case: Case) -> dict[str, Any]:
    name = case.name.replace(" ", "-").replace(".", "")
    path = Path(f"{name}.wav")
    case.make(path)
    command = f"convert run {path} --voice anna --out converted"
    if case.refused is not None:
        return _error(case.name, command, path.name, case.refused)
    status, said = _seqvae(command)
    if status:
        return _row(case.name, "convert", False, said.strip().splitlines()[-1])
    found, rate = soundfile.read(Path("converted") / path.name, dtype="float32")
    seconds = soundfile.info(path).duration
    right = bool(np.isfinite(found).all()) and abs(len(found) / rate - seconds) < 1e-3
    # Silence stays silent, anything else does not become it.
    right &= bool((np.abs(found) > 0.01).any()) == (case.name != "silence")
    return _row(case.name, "convert", right, f"{len(found) / rate:.3f} s for {seconds:.3f} s")


def _prepared() -> list[dict[str, Any]]:
    """All files in one folder with good ones."""
    import json

    folder = Path("mixed") / "ben"
    folder.mkdir(parents=True)
    for case in CASES:
        case.make(folder / f"{case.name}.wav")
    _save(babble(1.5, seed=50))(folder / "good.wav")
    status, said = _seqvae("prepare speech mixed mixed-data")
    if status:
        return [_row("all", "prepare", False, said.strip().splitlines()[-1])]
    lines = Path("mixed-data/skipped.jsonl").read_text(encoding="utf-8").splitlines()
    reasons = {entry["name"]: entry["reason"] for entry in map(json.loads, lines)}
    rows = []
    for case in CASES:
        reason = reasons.get(f"ben/{case.name}.wav")
        # The same sound in another format is kept once.
        right = reason in (None, "repeated") if case.prepared is None else reason == case.prepared
        rows.append(_row(case.name, "prepare", right, f"left out: {reason}" if reason else "kept"))
    return rows


def _one_clip() -> dict[str, Any]:
    """A third speaker with a single recording is heard in training and converted to."""
    (Path("voices") / "cleo").mkdir()
    _save(babble(1.5, 160.0, seed=77))(Path("voices") / "cleo" / "only.wav")
    for command in ("prepare speech voices data3", f"train data3 run3 {TINY}"):
        status, said = _seqvae(command)
        if status:
            return _row("a speaker with one clip", command, False, said.strip().splitlines()[-1])
    status, said = _seqvae("convert run3 stereo.wav --voice cleo --out cleo")
    right = status == 0 and soundfile.info("cleo/stereo.wav").frames == len(SOUND)
    return _row("a speaker with one clip", "convert", right, said.strip().splitlines()[-1])


def _other_mels() -> list[dict[str, Any]]:
    """A corpus, a run and a vocoder of other frames, put together with ours."""
    _seqvae("prepare speech voices data40 --mel.mels 40")
    _seqvae("vocoder data40 vocoder40 --kind linear-head --steps 1")
    case = "other mel settings"
    return [
        _error(
            case, "convert run stereo.wav --voice anna --vocoder vocoder40 --out x", "mels 40", "80"
        ),
        _error(case, "evaluate run --data data40 --limit 0", "mels 40", "mels 80"),
        _error(case, f"train data40 run {TINY}", "trained on other data"),
    ]


def _long(minutes: float) -> list[dict[str, Any]]:
    """The most memory that two minutes take, and the long file."""
    sentences = [babble(2.0 + number, 120.0, seed=number) for number in range(5)]
    for name, length in (("short", 2.0), ("long", minutes)):
        Path(name, "ben").mkdir(parents=True)
        with soundfile.SoundFile(f"{name}/ben/{name}.wav", "w", RATE, 1, subtype="PCM_16") as file:
            number = 0
            while file.frames < length * 60 * RATE:
                # No two alike: repeated recordings are left out.
                file.write(sentences[number % 5] * (0.7 + 0.2 * np.sin(number)))
                file.write(np.zeros(RATE // 2, np.float32))
                number += 1
    rows = []
    for verb, command in (
        ("prepare", "prepare speech {0} {0}-data --workers 1"),
        ("convert", "convert run {0}/ben/{0}.wav --voice anna --out {0}-out"),
    ):
        peaks, began, status = [], 0.0, 0
        for name in ("short", "long"):
            began = time.monotonic()
            status, said, peak = _measured(command.format(name))
            peaks.append(peak)
            if status:
                return [*rows, _row(f"{minutes:g} minutes", verb, False, said[-200:])]
        grown = peaks[1] - peaks[0]
        right = grown < FLAT
        if verb == "convert":
            there = soundfile.info("long-out/long.wav").frames
            right &= there == soundfile.info("long/ben/long.wav").frames
        outcome = f"{grown / 1000:.0f} MB more than 2 minutes, {time.monotonic() - began:.0f} s"
        rows.append(_row(f"{minutes:g} minutes", verb, right, outcome))
    return rows


if __name__ == "__main__":
    tyro.cli(run)
