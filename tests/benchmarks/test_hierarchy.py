"""The benchmark of levels: its cells differ in what they name alone, and what is kept of z stays."""

from dataclasses import replace

import pytest
import torch

from benchmarks.hierarchy import cells, held_by_levels, redrawn
from seqvae.config import preset
from seqvae.data.text import Tokenizer
from seqvae.objectives import RateTarget
from seqvae.posteriors import Ladder
from seqvae.tasks.text_model import TextModel
from tests.tasks.conftest import tokenizer

__all__ = ["tokenizer"]

TEXTS = ["the red cat sat on the hill", "the big fox sat on the roof"]


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> TextModel:
    wanted = cells(preset("tiny"))["levels-3+free"].text
    torch.manual_seed(0)
    made = wanted.build(tokenizer.vocab_size)
    return TextModel(made, tokenizer)


def test_cells_differ_in_levels_and_free_bits_alone() -> None:
    found = cells(preset("tiny", rate=5.0))
    assert list(found) == [
        *("lm", "levels-1", "levels-2", "levels-2+free", "levels-3", "levels-3+free"),
    ]
    for levels in (2, 3):
        plain, free = found[f"levels-{levels}"], found[f"levels-{levels}+free"]
        assert plain.text == free.text and plain.training == free.training
        assert isinstance(free.objective, RateTarget) and isinstance(free.text.posterior, Ladder)
        assert free.objective.floor_over == "level" and free.objective.floor > 0
        assert replace(free.objective, floor=0.0, floor_over="dimension") == plain.objective
        dimension = found["levels-1"].text.posterior.dimension
        assert free.text.posterior.dimension == dimension
    assert {e.objective.rate for e in found.values()} == {5.0}  # type: ignore[union-attr]


@torch.no_grad()
def test_what_is_kept_stays(model: TextModel) -> None:
    z = model.encode(TEXTS).mean
    found = redrawn(model, z, 1)
    torch.testing.assert_close(found["top"][:, :11], z[:, :11])
    assert not torch.isclose(found["top"][:, 11:], z[:, 11:]).any()
    torch.testing.assert_close(found["rest"][:, 11:], z[:, 11:])
    torch.testing.assert_close(found["rest"][:, :11], found["nothing"][:, :11])


def test_what_is_measured_of_it(model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.hierarchy.sentence_vectors", lambda texts: None)
    monkeypatch.setattr(TextModel, "decode", lambda self, z: [TEXTS[0], "the fox"])
    found = held_by_levels(model, TEXTS)
    assert set(found["kept"]) == {"all", "nothing", "top", "rest"}
    # All 7 words of the first, 2 of the 7 of the second, which is 5 short.
    assert found["kept"]["top"] == {"words": pytest.approx((1 + 2 / 7) / 2), "length_off": 2.5}
    assert found["examples"][1] == {"text": TEXTS[1], **dict.fromkeys(found["kept"], "the fox")}
