"""A small corpus of each kind that all training tests share."""

from pathlib import Path

import pytest

from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.data.speech.corpus import SpeechCorpus
from tests.evaluation.speech_corpus import make_corpus
from tests.training.runs import lines


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "lines.txt").write_text("\n".join(lines()) + "\n", encoding="utf-8")
    return prepare_text(
        PrepareText(
            inputs=(str(folder / "lines.txt"),),
            out=folder / "corpus",
            vocab_size=60,
            byte_fallback=False,
            valid=0.1,
            test=0.1,
        ),
        say=lambda notice: None,
    )


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    """Two voices that say the same sentences."""
    return make_corpus(tmp_path_factory.mktemp("speech"), voices=2)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "run"
