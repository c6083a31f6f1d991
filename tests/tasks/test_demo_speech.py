"""The demonstration of speech from beginning to end, on made-up voices and for a few steps."""

import json
import sys
from pathlib import Path

import pytest

from seqvae.data.speech.audio import read_audio, write_audio
from seqvae.tasks.demo_speech import demo_speech
from tests.tasks.speech.sounds import RATE, babble


def test_from_voices_to_a_report_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, pitch in (("anna", 210.0), ("ben", 110.0)):
        (tmp_path / "voices" / name).mkdir(parents=True)
        for number in range(24):
            path = tmp_path / "voices" / name / f"{number}.wav"
            write_audio(path, babble(1.0, pitch, seed=number), RATE)
    folder = tmp_path / "demo"

    def run() -> str:
        demo_speech(
            folder,
            steps=2,
            vocoder_steps=2,
            voices=tmp_path / "voices",
            referees=Path(sys.executable),
        )
        return capsys.readouterr().out

    said = run()
    assert "done in" in said and "--voice ben" in said
    assert "said by anna" in said and "in the voice of ben" in said
    assert (folder / "run" / "report.html").stat().st_size > 100_000
    assert (folder / "run" / "vocoder" / "vocoder.json").exists()
    report = json.loads((folder / "run" / "evaluation-test.json").read_text(encoding="utf-8"))
    assert report["conversions"] == 2
    sound = read_audio(folder / "converted" / "anna-to-ben.wav")
    assert sound.rate == RATE and len(sound.samples) > RATE // 2
    weights = (folder / "run" / "last" / "model.safetensors").read_bytes()
    assert "done in" in run()
    assert (folder / "run" / "last" / "model.safetensors").read_bytes() == weights
