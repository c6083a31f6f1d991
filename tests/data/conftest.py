"""Small corpora for the tests of the data side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.data.synthetic import write_synthetic

Prepare = Callable[..., Corpus]


@pytest.fixture
def notices() -> list[str]:
    """What `prepare` said."""
    return []


@pytest.fixture
def prepare(tmp_path: Path, notices: list[str]) -> Prepare:
    """Prepare with small settings; keyword arguments override them."""

    def run(*inputs: str | Path, out: str = "out", **settings: Any) -> Corpus:  # noqa: ANN401
        chosen: dict[str, Any] = {"vocab_size": 400, "model_type": "bpe"} | settings
        config = PrepareText(inputs=tuple(map(str, inputs)), out=tmp_path / out, **chosen)
        return prepare_text(config, say=notices.append)

    return run


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """300 different sentences."""
    return write_synthetic(tmp_path / "lines.txt", lines=300)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus with pairs and labels in several shards, for reading only."""
    folder = tmp_path_factory.mktemp("corpus")
    table = write_synthetic(folder / "table.tsv", lines=500, pairs=True, labels=True)
    config = PrepareText(
        inputs=(str(table),),
        out=folder / "out",
        columns=("text", "paraphrase"),
        label="topic",
        vocab_size=400,
        model_type="bpe",
        shard_size=4000,
    )
    return prepare_text(config, say=lambda notice: None)
