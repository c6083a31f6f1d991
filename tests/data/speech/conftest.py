"""Small speech corpora, all of made-up sounds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from tests.tasks.speech.sounds import babble

Prepare = Callable[..., SpeechCorpus]


@pytest.fixture
def notices() -> list[str]:
    """What `prepare` said."""
    return []


@pytest.fixture
def prepare(tmp_path: Path, notices: list[str]) -> Prepare:
    """Prepare into tmp_path/out with nothing held out; keyword arguments override the settings."""

    def run(*inputs: str | Path, out: str = "out", **settings: Any) -> SpeechCorpus:  # noqa: ANN401
        chosen: dict[str, Any] = {"valid": 0, "test": 0, "workers": 1} | settings
        config = PrepareSpeech(inputs=tuple(map(str, inputs)), out=tmp_path / out, **chosen)
        return prepare_speech(config, say=notices.append)

    return run


def write_voices(folder: Path, speakers: int = 2, prompts: int = 6, seconds: float = 0.6) -> Path:
    """A folder for each speaker; all say the same prompts, of which prompts.tsv has the texts."""
    for speaker in range(speakers):
        place = folder / f"voice{speaker}"
        place.mkdir(parents=True, exist_ok=True)
        for prompt in range(prompts):
            sound = babble(seconds + 0.1 * prompt, 110.0 + 50.0 * speaker, seed=100 + prompt)
            write_audio(place / f"p{prompt:02d}.wav", sound, 16_000)
    lines = (f"p{prompt:02d}\tsentence number {prompt}\n" for prompt in range(prompts))
    (folder / "prompts.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, six prompts, for reading only."""
    return write_voices(tmp_path_factory.mktemp("voices") / "voices")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shard for every five recordings."""
    monkeypatch.setattr("seqvae.data.speech.stages._PART_TAKES", 5)
    yield
