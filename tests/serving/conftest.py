"""Engines over PyTorch, on the tiny models that the tests of the tasks use too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae.serving import engine as module
from seqvae.serving import runtime
from seqvae.serving.engine import Engine
from seqvae.tasks.text_model import TextModel
from tests.serving.torch_graphs import TorchGraphs, bundle_of
from tests.tasks.conftest import language_model, text_model, tokenizer

__all__ = ["engine", "language_engine", "language_model", "text_model", "tokenizer"]


def engine_of(
    model: TextModel, folder: Path, tier: str = "sentencepiece", *, crop: bool = False
) -> Engine:
    """An engine whose graphs PyTorch computes."""
    graphs = TorchGraphs(model, texts_inside=tier != "ids")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Sessions", lambda *_, **__: graphs)
        patch.setattr(runtime, "resolve", lambda _: "cpu")
        return Engine(bundle_of(model, folder, tier), crop=crop)


def graphs_of(engine: Engine) -> TorchGraphs:
    """What computes for it."""
    graphs = engine._core.graphs
    assert isinstance(graphs, TorchGraphs)
    return graphs


@pytest.fixture(scope="session")
def engine(text_model: TextModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(text_model, tmp_path_factory.mktemp("bundle")) as made:
        yield made


@pytest.fixture(scope="session")
def language_engine(
    language_model: TextModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with engine_of(language_model, tmp_path_factory.mktemp("bundle")) as made:
        yield made
