"""Speech from Python: two synthetic voices are learned, and each says what the other said."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from seqvae.data.speech.audio import read_audio, write_audio
from seqvae.export.speech_golden import babble
from tests.examples.test_python import EXAMPLES, load

RATE = 16_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps on babble; one voice is the other, a third higher."""
    folder = tmp_path_factory.mktemp("speech")
    for voice, rate in (("low", RATE), ("high", 20_000)):
        (folder / "voices" / voice).mkdir(parents=True)
        for k in range(8):
            write_audio(folder / "voices" / voice / f"p{k}.wav", babble(1.2, RATE, k), rate)
    load("train_speech").main(str(folder / "voices"), str(folder / "run"), "800", "3", "2")
    return folder / "run"


def test_training_ends_with_sounds_to_listen_to(run: Path) -> None:
    heard = sorted(path.name for path in (run / "heard").iterdir())
    # What was held out, said by both.
    assert heard[:3] == ["0-as-high.wav", "0-as-low.wav", "0.wav"]
    source, low, high = (
        read_audio(run / "heard" / f"0{name}.wav") for name in ("", "-as-low", "-as-high")
    )
    assert len(source.samples) == len(low.samples) == len(high.samples)
    assert np.abs(low.samples - high.samples).max() > 1e-3
    assert (run / "vocoder" / "model.safetensors").exists()


def test_converting_files(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = load("convert_voice")
    write_audio(tmp_path / "talk.wav", babble(1.0, 22_050, 9), 22_050)
    # By name, and as heard in a recording.
    for voice in ("high", str(run.parent / "voices" / "high" / "p0.wav")):
        example.main(str(run), voice, str(tmp_path / "out"), str(tmp_path / "talk.wav"))
        sound = read_audio(tmp_path / "out" / "talk.wav")
        assert sound.rate == RATE and len(sound.samples) == RATE
        assert "1.0 s, real-time factor" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train_speech", "convert_voice"])
def test_called_wrongly_they_say_how(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    with pytest.raises(SystemExit, match=f"python examples/{name}.py"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
