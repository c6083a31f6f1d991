"""The demonstration's recordings: sentences are made, voices say them, nothing is said twice."""

import json
import shutil
import wave
from pathlib import Path

import pytest

from seqvae.errors import UserError
from seqvae.tasks import flite
from seqvae.tasks.demo_sentences import sentences


def test_sentences_are_different_and_the_same_every_time() -> None:
    many = sentences(300)
    assert len(set(many)) == 300
    assert sentences(20) == many[:20]
    assert sentences(20, seed=1) != many[:20]
    assert all(text[0].isupper() and 7 <= len(text.split()) <= 17 for text in many)
    with pytest.raises(ValueError, match="0 sentences"):
        sentences(0)


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_flite_says_what_is_not_there_yet(tmp_path: Path) -> None:
    texts = sentences(2)
    manifest = flite.record(tmp_path, texts, ("rms", "slt"))
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert [(row["speaker"], row["text"]) for row in rows] == [
        (voice, text) for text in texts for voice in ("rms", "slt")
    ]
    made = [tmp_path / row["audio_filepath"] for row in rows]
    for path in made:
        with wave.open(str(path)) as sound:
            assert sound.getframerate() == 16_000 and sound.getnframes() > 16_000
    made[0].write_bytes(b"kept")
    flite.record(tmp_path, texts, ("rms", "slt"))
    assert made[0].read_bytes() == b"kept"


def test_without_flite_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt-get install flite"):
        flite.find_flite()


def test_a_voice_that_does_not_speak_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "flite"
    broken.write_text("#!/bin/sh\necho no sound card >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match=r"voice rms did not say 'A.*no sound card"):
        flite.record(tmp_path / "out", ["A sentence."], ("rms",), program=str(broken))
    with pytest.raises(UserError, match="flite"):
        flite.record(tmp_path / "out", ["A sentence."], ("rms",), program=str(tmp_path / "none"))
