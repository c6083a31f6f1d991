"""The engine samples from a learned prior and scores under it, as PyTorch does."""

from pathlib import Path

import pytest
import torch

from seqvae.data.text import Tokenizer
from seqvae.priors import Flow, Mixture, PriorChoice
from seqvae.serving.options import Options
from seqvae.tasks.text_model import TextModel
from tests.serving.conftest import engine_of
from tests.serving.torch_graphs import decoding_of
from tests.tiny import LATENT, tiny_model

TEXTS = ["the red cat sat on the mat", "old dog", ""]


@pytest.mark.parametrize("config", [Mixture(components=3), Flow(layers=2, width=8)])
def test_samples_and_scores_are_those_of_pytorch(
    config: PriorChoice, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    network = tiny_model(vocabulary=tokenizer.vocab_size)
    torch.manual_seed(0)
    prior = config.build(LATENT)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    standard = TextModel(network, tokenizer).score(TEXTS, 20, seed=2)
    network.need_latent().prior = prior.eval()
    model = TextModel(network, tokenizer)
    engine = engine_of(model, tmp_path)
    options = Options(temperature=0.9, seed=4, max_length=12)
    assert engine.sample(5, options) == model.sample(5, decoding_of(options))
    truth = model.score(TEXTS, 20, seed=2)
    for wanted, found, other in zip(truth, engine.score(TEXTS, 20, seed=2), standard, strict=True):
        for name in ("elbo", "nll_iw", "kl", "reconstruction"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-4), name
        # The prior counts, and only where it should.
        assert abs(found.kl - other.kl) > 0.01
        assert found.reconstruction == pytest.approx(other.reconstruction, rel=1e-4)
