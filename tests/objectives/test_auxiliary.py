"""What training adds beside the bound: values, gradients, where it counts and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from seqvae import decoders, encoders
from seqvae.config import Experiment, Model
from seqvae.data.text import EOS
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo
from seqvae.likelihoods import Categorical
from seqvae.model import SequenceVAE
from seqvae.objectives import Elbo, Importance, Mmd, RateTarget, TotalCorrelation
from seqvae.objectives.bag_of_words import BAG_OF_WORDS, BagOfWords
from seqvae.objectives.fraternal import FRATERNAL, disagreement
from seqvae.posteriors import Gaussian
from tests.tiny import VOCABULARY, tiny_batch

SEED = torch.tensor([3])
NETWORKS = Model(
    encoder=encoders.Gru(width=8),
    posterior=Gaussian(4),
    decoder=decoders.Gru(width=8, dropout=0.5),
    max_length=16,
)


def model(**changes: Any) -> SequenceVAE:  # noqa: ANN401
    torch.manual_seed(0)
    return replace(NETWORKS, **changes).build(VOCABULARY).train()


def test_the_bag_costs_each_word_once_whatever_the_order() -> None:
    torch.manual_seed(0)
    bag, batch = BagOfWords(4, 8, VOCABULARY, 1.0), tiny_batch()
    z = torch.randn(3, batch.size, 4)
    found = bag(z, batch.values, batch.lengths)
    for row in range(batch.size):
        words = batch.values[row, 1 : int(batch.lengths[row]) - 1]
        assert EOS not in words
        said = [bag.network(z[s, row]).log_softmax(-1)[words].sum() for s in range(3)]
        torch.testing.assert_close(found[row], -torch.stack(said).mean())
    backwards = batch.values.clone()
    for row in range(batch.size):
        end = int(batch.lengths[row]) - 1
        backwards[row, 1:end] = batch.values[row, 1:end].flip(0)
    torch.testing.assert_close(bag(z, backwards, batch.lengths), found)


def test_a_bag_that_says_nothing_costs_the_log_of_the_vocabulary() -> None:
    bag, batch = BagOfWords(4, 8, VOCABULARY, 1.0), tiny_batch()
    for parameter in bag.parameters():
        torch.nn.init.zeros_(parameter)
    nats = bag(torch.randn(1, batch.size, 4), batch.values, batch.lengths)
    expected = (batch.lengths - 2) * torch.tensor(float(VOCABULARY)).log()
    torch.testing.assert_close(nats, expected)


def test_the_disagreement_is_that_of_the_logits() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    tokens = Categorical().build(11, 8)
    lengths = torch.tensor([6, 3])
    squared = ((first - second) @ tokens.embedding.weight.t()).square().mean(-1)
    expected = torch.stack([squared[0].sum(), squared[1, :2].sum()])
    torch.testing.assert_close(disagreement(first, second, tokens, lengths), expected)
    assert not disagreement(first, first, tokens, lengths).any()


@pytest.mark.parametrize(
    "objective", [Elbo(), RateTarget(), Importance(2, "stl"), Mmd(), TotalCorrelation()]
)
def test_any_objective_adds_them_once_and_shows_them_apart(objective: Any) -> None:  # noqa: ANN401
    both, built, batch = model(bag_of_words=0.5, fraternal=2.0), objective.build(), tiny_batch()
    kinds = built.samples, built.gradient, built.aggregate, built.crossed
    terms = both(batch, SEED, *kinds)
    loss = built(terms, 0.5)
    without = built(replace(terms, penalties={}, auxiliary={}), 0.5)
    bag, apart = loss.shown[BAG_OF_WORDS], loss.shown[FRATERNAL]
    assert bag > 1.0
    assert apart > 0.0
    torch.testing.assert_close(loss.total, without.total + 0.5 * bag + 2.0 * apart)
    # What is shown of the bound is the bound's alone.
    assert {name: loss.shown[name] for name in without.shown} == without.shown


@pytest.mark.parametrize("objective", [Elbo(), Importance(3), Importance(3, "stl")])
def test_the_bag_teaches_encoder_and_head_and_not_the_decoder(objective: Any) -> None:  # noqa: ANN401
    with_bag, built, batch = model(bag_of_words=1.0), objective.build(), tiny_batch()
    with_bag(batch, SEED, built.samples, built.gradient).penalties[BAG_OF_WORDS].sum().backward()
    assert with_bag.latent is not None
    assert with_bag.bag_of_words is not None
    for part in (with_bag.latent.encoder, with_bag.bag_of_words):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())
    assert all(p.grad is None for p in with_bag.decoder.parameters())


def test_two_passes_are_pulled_together_by_decoder_and_z() -> None:
    twice, batch = model(fraternal=1.0), tiny_batch()
    terms = twice(batch, SEED)
    terms.penalties[FRATERNAL].sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in twice.decoder.parameters())
    assert twice.latent is not None
    assert any(p.grad is not None and p.grad.any() for p in twice.latent.parameters())
    assert terms.reconstruction.shape == (1, batch.size)


def test_a_language_model_may_have_two_passes() -> None:
    torch.manual_seed(0)
    plain = replace(NETWORKS, fraternal=1.0).build(VOCABULARY, latent=False).train()
    loss = Elbo().build()(plain(tiny_batch(), SEED), 0.0)
    torch.testing.assert_close(loss.total, loss.shown["reconstruction"] + loss.shown[FRATERNAL])


def test_outside_of_training_there_is_the_bound_alone() -> None:
    plain, both = model(), model(bag_of_words=1.0, fraternal=1.0)
    both.load_state_dict({**both.state_dict(), **plain.state_dict()})
    batch = tiny_batch()
    terms = both.eval()(batch, SEED)
    assert not terms.penalties
    assert not terms.auxiliary
    torch.testing.assert_close(terms.reconstruction, plain.eval()(batch, SEED).reconstruction)
    torch.testing.assert_close(elbo(both, batch).nll, elbo(plain, batch).nll)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match=r"--model.bag-of-words 0.5 and --latent none do not go"):
        Experiment(model=Model(bag_of_words=0.5), latent="none")
    with pytest.raises(
        UserError, match=r"--model.fraternal 1 and --objective.gradient dreg do not"
    ):
        Experiment(model=Model(fraternal=1.0), objective=Importance())
    Experiment(model=Model(fraternal=1.0), objective=Importance(gradient="stl"))
    quiet = decoders.Gru(width=8, dropout=0.0)
    with pytest.raises(
        UserError, match=r"--model.fraternal 1 and --model.word-dropout 0 with --mod"
    ):
        Model(decoder=quiet, fraternal=1.0)
    Model(decoder=quiet, fraternal=1.0, word_dropout=0.2)
    for flag in ("bag_of_words", "fraternal"):
        for value in (-0.1, float("nan"), float("inf")):
            with pytest.raises(UserError, match=f"--model.{flag.replace('_', '-')} is a weight"):
                Model(**{flag: value})  # type: ignore[arg-type]
