"""How z enters the decoder: each way alone carries information, and the default is what it was."""

import math
from typing import get_args

import pytest
import torch

from seqvae import decoders, encoders
from seqvae.batch import Batch
from seqvae.config import Experiment, Model
from seqvae.config_json import from_json, to_json
from seqvae.data.text import BOS, EOS
from seqvae.decoders import DecoderChoice
from seqvae.decoders.injection import Injection
from seqvae.decoders.recurrent import GruInjection
from seqvae.errors import UserError
from seqvae.evaluation.collapse import Aggregate
from seqvae.evaluation.likelihood import elbo
from seqvae.posteriors import Gaussian

SYMBOLS, STEPS = 16, 6
"""A text is one of the symbols, six times: ln 16 = 2.77 nats."""
WAYS: list[DecoderChoice] = [
    *(
        decoders.Transformer(layers=1, width=32, heads=2, dropout=0.0, injection=way)
        for way in get_args(Injection)
    ),
    *(decoders.Gru(width=32, dropout=0.0, injection=way) for way in get_args(GruInjection)),
]


def texts() -> Batch:
    """Each symbol's text four times."""
    symbols = 5 + torch.arange(4 * SYMBOLS) % SYMBOLS
    values = symbols[:, None].repeat(1, STEPS + 2)
    values[:, 0], values[:, -1] = BOS, EOS
    return Batch(values, torch.full((len(values),), STEPS + 2))


@pytest.mark.parametrize(
    "decoder", WAYS, ids=lambda config: f"{type(config).__name__}-{config.injection}"
)
def test_each_way_alone_carries_the_text(decoder: DecoderChoice) -> None:
    torch.manual_seed(0)
    encoder = encoders.Transformer(layers=1, width=32, heads=2, dropout=0.0)
    # With every input blanked the decoder knows of the text what z tells it.
    config = Model(encoder, Gaussian(8), decoder=decoder, word_dropout=1.0, max_length=16)
    model, batch = config.build(5 + SYMBOLS), texts()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(150):
        terms = model(batch, torch.tensor([step]))
        loss = (terms.reconstruction.mean(0) + 0.1 * terms.kl).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, aggregate = elbo(model, batch), Aggregate()
    assert found.posterior is not None
    aggregate.add(found.posterior, found.kl_dimensions)
    measured = aggregate.diagnose()
    # 16 kinds of texts: 0.98 of what can be known, here all of it in z.
    assert 0.98 * math.log(SYMBOLS) < measured.mi
    # And the decoder reads it: of 16.6 nats it needs a fifth, inputs still blanked.
    told = model(batch, torch.tensor([1000])).reconstruction
    assert float(told.detach().mean()) < 0.2 * STEPS * math.log(SYMBOLS)


def test_the_default_has_the_weights_of_runs_that_were_trained_before() -> None:
    decoder = decoders.Transformer(layers=1, width=32, heads=2).build(8, 16)
    names = {name.split(".")[0] for name, _ in decoder.named_parameters()}
    assert names == {"stack", "film", "key_value"}
    # Their files know of no injection.
    experiment = to_json(Experiment())
    for name in ("injection", "rank"):
        del experiment["model"]["decoder"][name]
    assert from_json(Experiment, experiment) == Experiment()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UserError, match=r"film is for the Transformer.*embedding, softmax or skip"):
        decoders.Gru(injection="film")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="injection prefix needs prefix >= 1, got 0"):
        decoders.Transformer(injection="prefix", prefix=0)
    with pytest.raises(UserError, match="injection product needs rank >= 1, got 0"):
        decoders.Transformer(injection="product", rank=0)


def test_a_skip_is_the_default_and_a_path_past_the_recurrence() -> None:
    torch.manual_seed(0)
    usual = decoders.Gru(width=8, dropout=0.0).build(4, 16)
    skip = decoders.Gru(width=8, dropout=0.0, injection="skip").build(4, 16)
    assert skip.offset is not None
    skip.load_state_dict({**skip.state_dict(), **usual.state_dict()})
    x, z = torch.randn(3, 5, 8), torch.randn(3, 4)
    expected = usual(x, z) + skip.offset(z)[:, None]
    torch.testing.assert_close(skip(x, z), expected)
    state = skip.start(z, 3, 5)
    written = torch.stack([skip.step(x[:, t], state) for t in range(5)], 1)
    torch.testing.assert_close(written, expected)
    skip.select(state, torch.tensor([2, 0]))
    assert state.offset is not None
    torch.testing.assert_close(state.offset, skip.offset(z)[[2, 0]])
