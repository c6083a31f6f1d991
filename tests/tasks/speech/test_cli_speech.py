import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqvae.cli import main
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.tasks.speech_model import SpeechModel
from seqvae.vocoders import GriffinLim, save_vocoder
from tests.tasks.speech.conftest import tiny, write_run
from tests.tasks.speech.sounds import RATE, babble


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return write(tmp_path / "target.wav", babble(1.0, 220.0))


def called(*words: object) -> int:
    """The exit status of the command line."""
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)


def test_convert_a_file(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.wav", babble(1.5))
    out = tmp_path / "out"
    assert called("convert", run, source, "--voice", target, "--out", out) == 0
    samples, rate = soundfile.read(out / "a.wav", dtype="float32")
    assert rate == RATE and samples.shape == (24_000,)
    wanted = tiny().convert(source, target).samples
    np.testing.assert_allclose(samples, wanted, atol=1 / 32768)
    printed = capsys.readouterr().out
    assert "a.wav  1.5 s, real-time factor" in printed and "1 files, 1.5 s of sound in" in printed


def test_convert_a_folder_of_all_kinds(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    write(folder / "narrow.wav", babble(0.5, rate=8_000), 8_000)
    write(folder / "deep/wide.flac", np.stack([babble(0.5, rate=96_000)] * 2, 1), 96_000, "PCM_24")
    write(folder / "float.wav", babble(0.5), RATE, "FLOAT")
    write(folder / "silence.wav", np.zeros(8_000))
    write(folder / "short.wav", babble(0.3))
    write(folder / "click.wav", babble(0.01))
    infinite = babble(0.5)
    infinite[100] = np.inf
    write(folder / "infinite.wav", infinite, RATE, "FLOAT")
    (folder / "text.wav").write_text("no sound at all")
    (folder / "notes.txt").touch()
    out = tmp_path / "out"
    assert called("convert", run, folder, "--voice", target, "--out", out, "--rate", 22_050) == 1
    lengths = {p.relative_to(out).as_posix(): soundfile.info(p).frames for p in out.rglob("*.wav")}
    half = 11_025
    assert lengths == {
        "narrow.wav": half,
        "deep/wide.wav": half,
        "float.wav": half,
        "silence.wav": half,
        "short.wav": round(0.3 * 22_050),
    }
    assert not soundfile.read(out / "silence.wav")[0].any()
    printed = capsys.readouterr()
    assert "5 files, 2.3 s" in printed.out and "1 files that are no sound ignored" in printed.out
    assert "(silence)" in printed.out
    assert "3 could not be read" in printed.err
    for name, why in (
        ("click.wav", "10 ms long; 100 ms are needed"),
        ("infinite.wav", "values that are no numbers"),
        ("text.wav", "not a sound file"),
    ):
        assert any(name in line and why in line for line in printed.err.splitlines())
    assert not list(out.rglob("*.partial"))


def test_sources_survive_and_results_are_kept(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.wav", babble(0.5))
    before = source.read_bytes()
    words = ("convert", run, source, "--voice", target, "--out", tmp_path)
    assert called(*words) == 0 and source.read_bytes() == before
    assert (tmp_path / "a-2.wav").exists()
    assert called(*words) == 2
    assert "a-2.wav exists" in capsys.readouterr().err
    assert called(*words, "--existing", "skip") == 0
    assert "0 files" in capsys.readouterr().out
    assert called(*words, "--existing", "replace") == 0


def test_voices_are_names_or_recordings(
    run: Path, table_run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.wav", babble(0.5))
    out = tmp_path / "out"
    assert called("convert", table_run, source, "--voice", "ben", "--out", out / "1") == 0
    assert called("convert", table_run, source, "--voice", "bne", "--out", out / "2") == 2
    assert "did you mean ben" in capsys.readouterr().err
    assert called("convert", table_run, source, "--voice", target, "--out", out / "3") == 2
    assert "by name only (anna, ben, cleo)" in capsys.readouterr().err
    both = ("--voice", target, source)
    assert called("convert", run, source, *both, "--out", out / "4", "--strength", 0.5) == 0
    assert called("convert", run, source, *both, "--out", out / "5", "--f0", "statistics") == 0


def test_the_folder_is_named_after_the_voice(
    table_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.wav", babble(0.5))
    monkeypatch.chdir(tmp_path)
    assert called("convert", table_run, "a.wav", "--voice", "ben") == 0
    assert (tmp_path / "converted-ben/a.wav").exists()


def test_stream_says_how_late_it_is(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.wav", babble(1.0))
    causal = write_run(tmp_path / "causal", tiny(causal=True))
    words = (source, "--voice", target, "--stream", "--out", tmp_path / "out")
    assert called("convert", causal, *words) == 0
    assert soundfile.info(tmp_path / "out/a.wav").frames == RATE
    assert "latency 120 ms" in capsys.readouterr().out
    assert called("convert", run, *words) == 2
    assert "this run looks ahead" in capsys.readouterr().err
    assert called("convert", causal, *words, "--strength", 0.5) == 2
    assert "--stream goes with --seed alone" in capsys.readouterr().err


def test_a_vocoder_with_other_mel_settings_is_refused(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = GriffinLim()
    save_vocoder(config.build(MelSettings(hop=128)), config, tmp_path / "vocoder")
    words = ("--voice", target, "--vocoder", tmp_path / "vocoder")
    assert called("convert", run, target, *words) == 2
    assert "hop 128, but the frames have hop 256" in capsys.readouterr().err


def test_the_other_verbs_see_that_the_run_is_of_speech(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert called("reconstruct", run, target, "--out", out / "r") == 0
    assert called("denoise", run, target, "--out", out / "d", "--method", "vocoder") == 0
    assert called("sample", run, "--n", 2, "--seconds", 0.5, "--out", out / "s") == 0
    words = ("interpolate", run, target, target, target, "--steps", 2, "--rate", 8000)
    assert called(*words, "--out", out / "i") == 0
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.wav"))
    assert found == [
        "d/target.wav",
        "i/target-1-of-2.wav",
        "i/target-2-of-2.wav",
        "r/target.wav",
        "s/sample-1.wav",
        "s/sample-2.wav",
    ]
    assert soundfile.info(out / "i/target-1-of-2.wav").samplerate == 8000
    capsys.readouterr()
    assert called("sample", run, "--n", 1, "--out", out / "s") == 2
    assert "sample-1.wav exists" in capsys.readouterr().err
    assert called("paraphrase", run, "words") == 2
    assert "is a speech run; a text run is needed" in capsys.readouterr().err


def test_score_prints_a_table_or_json(
    run: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    assert called("score", run, target, tmp_path / "bad.wav") == 1
    printed = capsys.readouterr()
    assert str(target) in printed.out and "bad.wav: not a sound file" in printed.err
    assert called("score", run, target, "--json-lines") == 0
    found = json.loads(capsys.readouterr().out)
    model: SpeechModel = tiny()
    wanted = model.score(target)
    assert found["nats"] == pytest.approx(wanted.nats)
    assert found["worst"] == pytest.approx(wanted.worst)
    np.testing.assert_allclose(found["track"], wanted.track, atol=1e-3, rtol=1e-4)
