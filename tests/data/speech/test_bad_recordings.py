"""Every kind of bad file is counted with its reason and never fatal; odd but good ones come out right."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqvae.data.speech import audio, utterances
from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.energy import Floats, energy_of
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.records import Take
from seqvae.data.speech.utterances import Treatment, Utterance, utterances_of
from seqvae.errors import UserError
from tests.data.speech.conftest import Prepare
from tests.tasks.speech.sounds import babble

SOUND = babble(1.0)
Make = Callable[[Path], object]


def save(samples: Floats, rate: int = 16_000, **options: Any) -> Make:  # noqa: ANN401
    return lambda path: soundfile.write(path, samples, rate, **options)


def spoilt(value: float) -> Make:
    samples = SOUND.copy()
    samples[500] = value
    return save(samples, subtype="FLOAT")


def truncated(path: Path) -> None:
    save(SOUND)(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_rate(path: Path) -> None:
    save(SOUND)(path)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 0)
    path.write_bytes(data)


BAD: dict[str, tuple[str, Make, str]] = {
    "empty": ("x.wav", lambda path: path.write_bytes(b""), "empty file"),
    "no samples": ("x.wav", save(SOUND[:0]), "no samples"),
    "text": ("x.wav", lambda path: path.write_text("It was a dark and stormy night."), "not a sound file"),
    "truncated": ("x.wav", truncated, "truncated"),
    "truncated flac": ("x.flac", truncated, "damaged"),
    "no rate": ("x.wav", without_rate, "impossible sample rate"),
    "NaN": ("x.wav", spoilt(float("nan")), "values that are no numbers"),
    "infinity": ("x.wav", spoilt(float("inf")), "values that are no numbers"),
    "10 ms": ("x.wav", save(SOUND[:160]), "too short"),
    "silence": ("x.wav", save(np.zeros(16_000, np.float32)), "silence"),
    "dither": (
        "x.wav",
        save(np.random.default_rng(0).integers(-1, 2, 16_000).astype(np.int16)),
        "silence",
    ),
    "clipped": ("x.wav", save(np.clip(20 * SOUND, -1, 1)), "clipped"),
    "a blip": (
        "x.wav",
        save(np.concatenate([np.zeros(16_000), SOUND[3200:6720], np.zeros(16_000)])),
        "too short after trimming",
    ),
    "locked": ("x.wav", lambda path: path.symlink_to(path), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_ones_are_listed(tmp_path: Path, prepare: Prepare, case: str) -> None:
    name, make, reason = BAD[case]
    folder = tmp_path / "in" / "ben"
    folder.mkdir(parents=True)
    write_audio(folder / "good.wav", SOUND, 16_000)
    make(folder / name)
    corpus = prepare(tmp_path / "in", min_seconds=0.5 if case == "a blip" else 0.1)
    assert [corpus.split("train").name(0), len(corpus.split("train"))] == ["ben/good.wav", 1]
    (entry,) = map(json.loads, (corpus.path / "skipped.jsonl").read_text().splitlines())
    assert entry["name"] == f"ben/{name}" and entry["reason"] == reason
    assert corpus.meta["counts"]["left out"] == {reason: 1}


def test_all_at_once_with_workers(tmp_path: Path, prepare: Prepare, notices: list[str]) -> None:
    folder = tmp_path / "in" / "ben"
    for case, (name, make, _) in BAD.items():
        (folder / case).mkdir(parents=True)
        make(folder / case / name)
    write_audio(folder / "good.wav", SOUND, 16_000)
    corpus = prepare(tmp_path / "in", workers=2, min_seconds=0.5)
    assert sum(corpus.meta["counts"]["left out"].values()) == len(BAD)
    assert "2 left out: damaged" not in notices and "2 left out: silence" in notices


def test_nothing_left(tmp_path: Path, prepare: Prepare, notices: list[str]) -> None:
    for case, (name, make, _) in BAD.items():
        (tmp_path / "in" / case).mkdir(parents=True)
        make(tmp_path / "in" / case / name)
    with pytest.raises(UserError, match=f"no usable recording among {len(BAD)}"):
        prepare(tmp_path / "in", min_seconds=0.5)
    assert "1 left out: empty file" in notices
    assert not (tmp_path / "out").exists()


def test_a_file_that_a_table_names_and_is_not_there(tmp_path: Path, prepare: Prepare) -> None:
    write_audio(tmp_path / "a.wav", SOUND, 16_000)
    (tmp_path / "t.csv").write_text("a.wav|ben|one\nabsent.wav|ben|two\n../b.wav|ben|three\n")
    corpus = prepare(tmp_path / "t.csv")
    assert corpus.meta["counts"]["left out"] == {"no such file": 2}


def test_the_same_sound_twice_is_kept_once(tmp_path: Path, prepare: Prepare) -> None:
    folder = tmp_path / "in" / "ben"
    folder.mkdir(parents=True)
    for name in ("a.wav", "b.flac", "c.wav"):
        write_audio(folder / name, babble(1.0, seed=name == "c.wav"), 16_000)
    corpus = prepare(tmp_path / "in")
    assert [corpus.split("train").name(i) for i in range(2)] == ["ben/a.wav", "ben/c.wav"]
    (entry,) = map(json.loads, (corpus.path / "skipped.jsonl").read_text().splitlines())
    assert entry == {
        "name": "ben/b.flac",
        "reason": "repeated",
        "detail": "the same sound as ben/a.wav",
    }


def as_stored(path: Path, **treatment: Any) -> list[Utterance]:  # noqa: ANN401
    plain = Treatment(MelSettings(), "none", longest=30.0, shortest=0.1, clipped=0.01)
    found = list(utterances_of(Take(path, path.name, "ben"), replace(plain, **treatment)))
    assert all(isinstance(entry, Utterance) for entry in found), found
    return found  # type: ignore[return-value]


def sound_of(found: Utterance) -> Floats:
    return found.samples.astype(np.float32) / np.float32(32768.0)


ODD: dict[str, Make] = {
    "8 kHz": save(babble(1.0, rate=8000), 8000),
    "96 kHz": save(babble(1.0, rate=96_000), 96_000),
    "44.1 kHz": save(babble(1.0, rate=44_100), 44_100),
    "stereo": save(np.stack([SOUND, 0.3 * SOUND], 1)),
    "one side silent": save(np.stack([0 * SOUND, SOUND], 1)),
    "24 bit": save(SOUND, subtype="PCM_24"),
    "float, loud": save(30 * SOUND, subtype="FLOAT"),
    "float, quiet": save(0.005 * SOUND, subtype="FLOAT"),
    "double": save(SOUND, subtype="DOUBLE"),
    "off centre": save(0.3 * SOUND + 0.5),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_ones_come_out_alike(tmp_path: Path, case: str) -> None:
    ODD[case](tmp_path / "a.wav")
    (found,) = as_stored(tmp_path / "a.wav")
    samples = sound_of(found)
    assert len(samples) == 62 * 256 and found.piece is None
    assert energy_of(samples, 16_000).loudness() == pytest.approx(0.06, rel=0.03)
    assert abs(float(samples.mean())) < 1e-3
    save(SOUND)(tmp_path / "b.wav")
    (plain,) = as_stored(tmp_path / "b.wav")
    if "kHz" not in case:  # noise above 4 kHz is drawn anew for each rate
        assert np.corrcoef(samples, plain.samples)[0, 1] > 0.999


def test_a_little_clipping_is_forgiven(tmp_path: Path) -> None:
    save(np.clip(SOUND * 3.6, -1, 1), subtype="FLOAT")(tmp_path / "a.wav")
    assert len(as_stored(tmp_path / "a.wav")) == 1


def long_recording(path: Path, minutes: float, rate: int = 16_000) -> None:
    """Sentences of 2 to 6 s with pauses between them, written piece by piece."""
    sentences = [babble(2.0 + seed, 120.0, rate, seed) for seed in range(5)]
    pause = 1e-4 * np.random.default_rng(0).normal(size=round(0.7 * rate)).astype(np.float32)
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16") as stream:
        number = 0
        while stream.frames < minutes * 60 * rate:
            # No two alike, else they would be left out as repeated.
            stream.write(sentences[number % 5] * (0.7 + 0.2 * np.sin(number)))
            stream.write(pause)
            number += 1


@pytest.mark.parametrize("kept", [1 << 22, 1000])
def test_long_ones_are_cut_in_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Whether the file is decoded once or twice."""
    long_recording(tmp_path / "a.wav", 1.0)
    monkeypatch.setattr(utterances, "_KEPT", kept)
    monkeypatch.setattr(audio, "_BLOCK", 5000)
    found = as_stored(tmp_path / "a.wav", trim="ends", longest=10.0)
    assert [entry.name for entry in found[:2]] == ["a#1.wav", "a#2.wav"]
    seconds = [len(entry.samples) / 16_000 for entry in found]
    assert all(4.0 < length <= 10.0 for length in seconds[:-1])
    for entry in found:
        energy = energy_of(sound_of(entry), 16_000)
        # A pause of at most 0.1 s is left at either end.
        assert energy.speech()[:14].any() and energy.speech()[-14:].any()


def test_pieces_have_no_text_and_stand_alone(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "in").mkdir()
    long_recording(tmp_path / "in" / "a.wav", 1.0)
    (tmp_path / "in" / "a.txt").write_text("what is said in a whole minute")
    corpus: SpeechCorpus = prepare(tmp_path / "in", max_seconds=6.0, valid=2, test=0.2)
    counts = {name: len(corpus.split(name)) for name in ("train", "valid", "test")}
    assert counts["valid"] == 2 and counts["test"] >= 2 and counts["train"] >= 7
    assert corpus.split("train").text(0) == ""
    assert corpus.meta["counts"]["notes"] == {"cut at pauses": 1}


MEMORY = """
import resource, sys
from pathlib import Path
from seqvae.data.speech import part, utterances
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.records import Take
folder, shrink = Path(sys.argv[1]), int(sys.argv[2])
utterances._KEPT //= shrink
part._BATCH //= shrink
treatment = utterances.Treatment(MelSettings(), "ends", 20.0, 0.1, 0.01)
def peak(name):
    take = Take(folder / name, name, "ben")
    made = part.make_part(folder / "part.arrow", [take], treatment, lambda seconds: None)
    assert made.file and not made.skipped, made.skipped
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak("short.wav")
print(peak("long.wav") - before)
"""


@pytest.mark.parametrize(
    ("minutes", "shrink"), [(4, 16), pytest.param(60, 1, marks=pytest.mark.slow)]
)
def test_memory_does_not_grow_with_a_recording(tmp_path: Path, minutes: int, shrink: int) -> None:
    """The short one fills every buffer; the long ones are 46 and 690 MB of floats."""
    long_recording(tmp_path / "short.wav", 5 / shrink + 0.5, 48_000)
    long_recording(tmp_path / "long.wav", minutes, 48_000)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), str(shrink)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert int(done.stdout) < 40_000, "kilobytes; pages come and go by 20 MB"
