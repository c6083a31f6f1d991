import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.data.text import BLANK, BOS, EOS, PAD, UNK
from seqvae.errors import UserError
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.tasks import decode
from seqvae.tasks.decode import Decoding, Generated, generate
from seqvae.tasks.texts import batch_of
from tests.tiny import LATENT, MAX_LENGTH, tiny_model

COUNT = 9
STRATEGIES = [
    Decoding(),
    Decoding(strategy="sample"),
    Decoding(strategy="sample", temperature=0.7, top_k=6, top_p=0.9),
    Decoding(strategy="beam", beam_size=3),
    Decoding(strategy="sample", no_repeat_ngram=1),
]
KINDS = ["transformer", "gru"]


def vectors() -> Tensor:
    return normal(torch.tensor([5]), (COUNT, LATENT))


def write(model: SequenceVAE, decoding: Decoding) -> Generated:
    if model.latent is None:
        return generate(model, None, decoding, rows=torch.arange(COUNT))
    return generate(model, vectors(), decoding)


@pytest.mark.parametrize("latent", [True, False])
@pytest.mark.parametrize("decoding", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_cached_steps_agree_with_the_whole_forward(
    kind: str, decoding: Decoding, latent: bool
) -> None:
    model = tiny_model(kind, latent)
    written = write(model, replace(decoding, max_length=12))
    for row, ids in enumerate(written.ids):
        batch = batch_of([ids], torch.device("cpu"), ends=bool(written.complete[row]))
        z = vectors()[None, row : row + 1] if latent else None
        with torch.inference_mode():
            nll = model.reconstruction(batch, z)[0, 0]
        torch.testing.assert_close(written.log_prob[row], -nll, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_takes_the_most_probable_token_of_the_whole_forward(kind: str) -> None:
    model = tiny_model(kind)
    for row, ids in enumerate(generate(model, vectors(), Decoding(max_length=16)).ids):
        batch = batch_of([ids], torch.device("cpu"))
        with torch.no_grad():
            states = model.decode(batch.values, vectors()[row : row + 1])
            scores = decode.token_likelihood(model).logits(states)[0]
        scores[:, [PAD, UNK, BOS, BLANK]] = float("-inf")
        assert scores.argmax(1).tolist()[: len(ids)] == ids


@pytest.mark.parametrize("decoding", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_is_the_row_in_a_batch(kind: str, decoding: Decoding) -> None:
    model = tiny_model(kind)
    decoding = replace(decoding, max_length=16)
    together = write(model, decoding)
    assert len({tuple(ids) for ids in together.ids}) > 1, "the law would hold trivially"
    for row in range(COUNT):
        key = torch.tensor([row])
        alone = generate(model, vectors()[row : row + 1], decoding, rows=key)
        assert alone.ids[0] == together.ids[row]
        assert bool(alone.complete[0]) == bool(together.complete[row])
        torch.testing.assert_close(alone.log_prob[0], together.log_prob[row], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoding", STRATEGIES)
def test_rows_decoded_side_by_side_do_not_matter(
    decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    many = write(model, decoding)
    monkeypatch.setattr(decode, "MAX_HYPOTHESES", 4)
    assert write(model, decoding).ids == many.ids


def test_random_numbers_made_together_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, decoding = tiny_model(), Decoding(strategy="sample")
    many = write(model, decoding)
    monkeypatch.setattr(decode, "UNIFORMS", 5)
    assert write(model, decoding).ids == many.ids


@pytest.mark.parametrize("latent", [True, False])
def test_the_seed_decides_what_is_sampled(latent: bool) -> None:
    model = tiny_model(latent=latent)
    decoding = Decoding(strategy="sample")
    first = write(model, decoding).ids
    assert first == write(model, decoding).ids
    assert first != write(model, replace(decoding, seed=1)).ids
    assert first != write(model, replace(decoding, seed=-(2**63))).ids


@pytest.mark.parametrize(
    "same",
    [
        Decoding(strategy="sample", temperature=0),
        Decoding(strategy="sample", temperature=1e-6),
        Decoding(strategy="sample", temperature=5e-324),
        Decoding(strategy="sample", top_k=1),
        Decoding(strategy="sample", top_p=1e-9),
        Decoding(strategy="beam", beam_size=1, length_penalty=0.0),
        Decoding(strategy="beam", beam_size=1, length_penalty=1.0),
    ],
)
def test_limits_of_the_other_strategies_are_greedy(same: Decoding) -> None:
    model = tiny_model()
    greedy, other = write(model, Decoding()), write(model, same)
    assert other.ids == greedy.ids
    torch.testing.assert_close(other.log_prob, greedy.log_prob)


@pytest.mark.parametrize("decoding", STRATEGIES)
def test_special_tokens_are_never_written_and_the_limit_holds(decoding: Decoding) -> None:
    model = tiny_model()
    written = write(model, replace(decoding, max_length=6))
    for ids, complete in zip(written.ids, written.complete.tolist(), strict=True):
        assert not set(ids) & {PAD, UNK, BOS, EOS, BLANK}
        assert len(ids) <= (5 if complete else 6)
        assert complete or len(ids) == 6
    longest = write(model, replace(decoding, max_length=10_000))
    assert max(map(len, longest.ids)) < MAX_LENGTH


def test_no_run_of_tokens_repeats() -> None:
    model = tiny_model()
    for strategy in ("greedy", "sample", "beam"):
        plain = Decoding(strategy=strategy)
        for ids in write(model, replace(plain, no_repeat_ngram=2)).ids:
            pairs = list(itertools.pairwise(ids))
            assert len(set(pairs)) == len(pairs)


def test_the_model_stays_in_its_mode() -> None:
    model = tiny_model().train()
    model.decoder.eval()
    first = generate(model, vectors()).ids
    assert model.training and not model.decoder.training
    assert generate(model.eval(), vectors()).ids == first


def test_nothing_to_write_is_fine() -> None:
    written = generate(tiny_model(), torch.empty(0, LATENT))
    assert written.ids == [] and written.log_prob.shape == written.complete.shape == (0,)


def test_what_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="latent"):
        generate(tiny_model(), None, rows=torch.arange(2))
    with pytest.raises(ValueError, match="latent"):
        generate(tiny_model(latent=False), vectors())
    with pytest.raises(ValueError, match="rows"):
        generate(tiny_model(), vectors(), rows=torch.arange(2))
    with pytest.raises(ValueError, match="rows"):
        generate(tiny_model(latent=False), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "best"),
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("beam_size", 0),
        ("beam_size", 10**9),
        ("length_penalty", -1.0),
        ("max_length", 0),
        ("max_length", 10**9),
        ("seed", 2**63),
        ("no_repeat_ngram", -1),
    ],
)
def test_a_decoding_out_of_range_is_a_clear_error(name: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=f"{name} is"):
        Decoding(**{name: value})
