"""The referees' own arithmetic, and what happens to jobs, missing packages and bad sounds; no model of others is run."""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.evaluation.referees import bench, client, distance, enhancement, pitch, summary, words
from seqvae.evaluation.referees.__main__ import main
from seqvae.evaluation.referees.job import Item, Job, read_job
from seqvae.evaluation.referees.sound import RATE, Samples, hear

soundfile = pytest.importorskip("soundfile")


def tone(path: Path, hertz: float = 220.0, seconds: float = 0.5, level: float = 0.1) -> str:
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 9))
    # Between the partials there is breath, not what 16 bits round away.
    wave = wave + 0.1 * np.random.default_rng(0).normal(size=len(time))
    soundfile.write(path, level * wave, RATE)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("For the 20th time, Mr. Smith's men!", "for the twentieth time mister smith's men"),
        ("1,107 & 21st", "one thousand one hundred seven and twenty first"),
        ("007", "zero zero seven"),
        ("It\u2019s 1000000 \u2014 'quoted'", "it's one million quoted"),
        ("One hundred and forty grey men", "one hundred forty gray men"),
        ("12th 30th 2nd", "twelfth thirtieth second"),
        ("...", ""),
    ],
)
def test_texts_are_compared_in_one_form(text: str, said: str) -> None:
    assert words.normalise(text) == said


def every_path(n: int, m: int) -> list[list[tuple[int, int]]]:
    if n == 1 and m == 1:
        return [[(0, 0)]]
    before = [(n - 1, m - 1), (n - 1, m), (n, m - 1)]
    return [
        [*path, (n - 1, m - 1)] for a, b in before if a > 0 and b > 0 for path in every_path(a, b)
    ]


@pytest.mark.parametrize(("n", "m"), [*itertools.product((1, 2, 4), (1, 3, 5))])
def test_the_alignment_is_the_cheapest_of_all_paths(n: int, m: int) -> None:
    random = np.random.default_rng(n * 10 + m)
    a, b = random.normal(size=(n, 13)), random.normal(size=(m, 13))
    cost = 10 / np.log(10) * np.sqrt(2 * ((a[:, None] - b) ** 2).sum(-1))
    mean, path = distance.align(a, b)
    total = min(sum(cost[i, j] for i, j in way) for way in every_path(n, m))
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(total)
    assert mean == pytest.approx(total / len(path))


def test_a_sound_is_no_distance_from_itself_at_any_loudness(tmp_path: Path) -> None:
    loud, soft = (
        hear(Path(tone(tmp_path / "a.wav"))),
        hear(Path(tone(tmp_path / "b.wav", level=0.01))),
    )
    assert distance.judge(loud, loud)["mcd"] == pytest.approx(0, abs=1e-4)
    assert distance.judge(loud, soft)["mcd"] < 0.5
    other = hear(Path(tone(tmp_path / "c.wav", 400.0)))
    assert distance.judge(loud, other)["mcd"] > 5


def test_a_cepstrum_follows_its_definition() -> None:
    """A gain of g adds ln g^2 to every band: to c_0 alone."""
    random = np.random.default_rng(0)
    sound = random.normal(size=RATE // 4).astype(np.float32)
    assert np.allclose(distance.cepstrum(sound), distance.cepstrum(3 * sound), atol=1e-4)
    assert distance.cepstrum(sound).shape == (1 + len(sound) // 160, 13)
    with pytest.raises(ValueError, match="most is 60 s"):
        distance.cepstrum(np.zeros(61 * RATE, np.float32))


def test_a_pitch_is_compared_with_the_reference_or_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pitch, "_has_world", lambda: False)
    low, high = (hear(Path(tone(tmp_path / f"{f}.wav", f, 1.0))) for f in (110.0, 220.0))
    found = pitch.judge(high, low, None)
    assert found["log_f0_bias"] == pytest.approx(np.log(2), abs=0.01)
    assert found["f0_rmse"] == pytest.approx(110, abs=2)
    assert found["f0_rmse_semitones"] == pytest.approx(12, abs=0.2)
    usual = pitch.usual([high, high])
    assert pitch.judge(low, None, usual)["log_f0_bias"] == pytest.approx(-np.log(2), abs=0.01)
    with pytest.raises(ValueError, match="no pitch to compare"):
        pitch.judge(low, None, None)
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    with pytest.raises(ValueError, match="voiced frames are too few"):
        pitch.judge(noise, low, None)


def test_distortion_is_measured_whatever_the_gain() -> None:
    random = np.random.default_rng(0)
    clean = random.normal(size=RATE).astype(np.float32)
    noise = random.normal(size=RATE).astype(np.float32)
    noise -= clean * (noise @ clean) / (clean @ clean)
    noise *= np.float32(0.1 * np.linalg.norm(clean) / np.linalg.norm(noise))
    assert enhancement.si_sdr(0.3 * (clean + noise), clean) == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("kind", ["absent", "text", "silent", "empty", "nan"])
def test_what_is_no_sound_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.wav"
    if kind == "text":
        path.write_text("not a sound")
    elif kind != "absent":
        samples = {"silent": np.zeros(RATE), "empty": np.zeros(0), "nan": np.full(RATE, np.nan)}
        soundfile.write(path, samples[kind], RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"x\.wav"):
        hear(path)


def test_words_are_pooled_and_means_have_errors() -> None:
    answers: list[dict[str, Any]] = [
        {
            "item": {"group": "a"},
            "errors": {},
            "values": {"words": 9, "word_errors": 0, "mcd": 1.0},
        },
        {
            "item": {"group": "a"},
            "errors": {},
            "values": {"words": 1, "word_errors": 1, "mcd": 3.0},
        },
        {"item": {"group": "b"}, "errors": {"words": "no"}, "values": {}},
    ]
    rows = summary.groups(answers)
    assert rows["a"]["wer"] == pytest.approx(0.1)
    assert (rows["a"]["mcd"], rows["a"]["mcd_se"]) == (2.0, pytest.approx(1.0))
    assert rows["b"]["errors"] == {"words": 1} and "wer" not in rows["b"]
    shown = summary.table(rows)
    assert "10.0%" in shown and "1 (1 failed)" in shown


@pytest.mark.parametrize(
    ("job", "match"),
    [
        ("{", "not a job"),
        ('{"items": []}', "at least one"),
        ('{"items": [{"text": "x"}]}', r"items\[0\]: audio"),
        ('{"items": [{"audio": 3}]}', r"items\[0\]: audio must be a string"),
        ('{"items": [{"audio": "x", "speaker": "y"}]}', "no field speaker"),
        ('{"items": [{"audio": "x"}], "voices": {"a": "b.wav"}}', "voices must map"),
        ('{"items": [{"audio": "x"}], "voices": {"a": []}}', "a: no recordings"),
        ('{"items": [{"audio": "x"}], "referees": ["ears"]}', "no referee ears"),
    ],
)
def test_a_job_that_makes_no_sense_names_the_field(tmp_path: Path, job: str, match: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(job)
    with pytest.raises(UserError, match=match):
        read_job(path)
    assert main([str(path), str(tmp_path / "out.json")]) == 2


def test_a_bench_judges_once_counts_failures_and_says_who_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bench.NEEDS, "words", ("no_such_package",))
    a, b = tone(tmp_path / "a.wav"), tone(tmp_path / "b.wav", 300.0)
    items = [Item(a, "near", reference=a, text="la"), Item(str(tmp_path / "none.wav"), reference=b)]
    job = Job(items, referees=("words", "distance"))
    out = tmp_path / "out.json"
    found = bench.Bench(job).sit(out)
    assert found["missing"] == {"words": ["no_such_package"]}
    assert found["groups"]["near"]["mcd"] < 1e-4
    assert found["groups"]["all"]["errors"] == {"distance": 1}

    asked: list[int] = []
    real = distance.judge

    def counted(sound: Samples, reference: Samples) -> dict[str, Any]:
        asked.append(len(sound))
        return real(sound, reference)

    monkeypatch.setattr(distance, "judge", counted)
    again = bench.Bench(Job([Item(b, "moved", reference=b), items[0]], referees=job.referees))
    assert set(again.sit(out)["groups"]) == {"moved", "near"} and len(asked) == 1
    tone(tmp_path / "a.wav", 500.0)  # another sound under the same name
    hear.cache_clear()
    bench.Bench(job).sit(out)
    assert len(asked) == 2


def test_another_python_is_asked(tmp_path: Path) -> None:
    a, b = tone(tmp_path / "a.wav"), tone(tmp_path / "b.wav", 300.0)
    found = client.judge([Item(a, reference=b)], referees=["distance"], python=sys.executable)
    assert found["groups"]["all"]["mcd"] > 0
    with pytest.raises(UserError, match="does not run"):
        client.judge([Item(a)], python=tmp_path / "python")
    with pytest.raises(UserError, match="status 1"):
        client.judge([Item(a)], python=_failing(tmp_path))


def _failing(folder: Path) -> Path:
    path = folder / "fails"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_answers_are_json(tmp_path: Path) -> None:
    a = tone(tmp_path / "a.wav")
    out = tmp_path / "out.json"
    Job([Item(a, reference=a)], referees=["distance"]).write(tmp_path / "job.json")
    assert main([str(tmp_path / "job.json"), str(out)]) == 0
    assert json.loads(out.read_text())["items"][0]["values"]["mcd"] < 1e-4
