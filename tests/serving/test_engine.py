"""Every task of the engine gives what the same task of `TextModel` gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.serving.core import HYPOTHESES
from seqvae.serving.engine import SAMPLING, Engine
from seqvae.serving.options import Options, Row
from seqvae.tasks.sample import DEFAULT
from seqvae.tasks.text_model import TextModel
from tests.serving.conftest import engine_of, graphs_of
from tests.serving.torch_graphs import decoding_of

TEXTS = ["the red cat sat on the mat", "old dog", "日本 😀", "", "the big fox sat on the hill"]
WAYS = [
    Options(max_length=12),
    Options(temperature=0.9, seed=4, max_length=12),
    Options(temperature=1.3, top_k=9, top_p=0.8, seed=-7, max_length=9),
    Options(beam=True, max_length=8),
]


@pytest.mark.parametrize("options", WAYS, ids=lambda o: decoding_of(o).strategy)
def test_texts_are_those_of_pytorch(
    engine: Engine, text_model: TextModel, options: Options
) -> None:
    decoding = decoding_of(options)
    assert engine.reconstruct(TEXTS, options) == text_model.reconstruct(TEXTS, decoding)
    way = engine.interpolate(TEXTS[0], TEXTS[1], 4, options=options)
    assert way == text_model.interpolate(TEXTS[0], TEXTS[1], 4, decoding=decoding)
    assert engine.sample(5, options) == text_model.sample(5, decoding)
    assert len(set(engine.sample(5, options))) > 1


def test_the_default_sampling_is_that_of_pytorch(engine: Engine, text_model: TextModel) -> None:
    assert decoding_of(SAMPLING) == DEFAULT
    assert engine.sample(3) == text_model.sample(3)


@pytest.mark.parametrize("options", WAYS, ids=lambda o: decoding_of(o).strategy)
@pytest.mark.parametrize("distinct", [True, False])
def test_paraphrases_are_those_of_pytorch(
    engine: Engine, text_model: TextModel, options: Options, distinct: bool
) -> None:
    wanted = text_model.paraphrase(
        TEXTS, 3, noise_scale=0.7, decoding=decoding_of(options), distinct=distinct
    )
    found = engine.paraphrase(TEXTS, 3, noise_scale=0.7, options=options, distinct=distinct)
    for a, b in zip(wanted, found, strict=True):
        assert a.text == b.text
        assert [(c.text, c.copy) for c in a.candidates] == [(c.text, c.copy) for c in b.candidates]
        np.testing.assert_allclose(
            [c.score for c in a.candidates], [c.score for c in b.candidates], rtol=1e-4
        )


def test_a_candidate_is_a_row(engine: Engine) -> None:
    """What `paraphrase` draws, `generate` writes for the same seed and sample."""
    options = Options(temperature=0.8, seed=3, max_length=10)
    (found,) = engine.paraphrase(TEXTS[:1], 4, options=options, distinct=False)
    rows = [Row(TEXTS[0], Options(**vars(options) | {"sample": k})) for k in range(4)]
    assert sorted(c.text for c in found.candidates) == sorted(w.text for w in engine.generate(rows))


def test_scores_are_those_of_pytorch(engine: Engine, text_model: TextModel) -> None:
    for wanted, found in zip(
        text_model.score(TEXTS, 20, seed=2), engine.score(TEXTS, 20, seed=2), strict=True
    ):
        assert (found.text, [p.piece for p in found.pieces]) == (
            wanted.text,
            [p.piece for p in wanted.pieces],
        )
        for name in ("elbo", "nll_iw", "kl", "reconstruction", "per_piece"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-4), name
        np.testing.assert_allclose(
            [p.surprisal for p in found.pieces], [p.surprisal for p in wanted.pieces], rtol=1e-3
        )


def test_a_language_model(language_engine: Engine, language_model: TextModel) -> None:
    for wanted, found in zip(
        language_model.score(TEXTS), language_engine.score(TEXTS), strict=True
    ):
        assert found.nll_iw == pytest.approx(wanted.nll_iw, rel=1e-4) and found.kl == 0
    options = Options(temperature=1.0, seed=5, max_length=10)
    wanted_texts = language_model.sample(4, decoding_of(options))
    assert language_engine.sample(4, options) == wanted_texts
    assert "".join(language_engine.stream(Row("", options))) == wanted_texts[0]
    with pytest.raises(UserError, match="writes the same text 4 times"):
        language_engine.sample(4, Options())
    for call in (
        lambda: language_engine.paraphrase(TEXTS),
        lambda: language_engine.encode(TEXTS),
        lambda: language_engine.interpolate("a", "b"),
        lambda: language_engine.reconstruct(TEXTS),
        lambda: language_engine.decode(np.zeros((1, 4))),
    ):
        with pytest.raises(UserError, match="needs a latent"):
            call()


def test_posteriors_are_those_of_pytorch(engine: Engine, text_model: TextModel) -> None:
    wanted: Any = text_model.encode(TEXTS)
    mean, log_variance = engine.encode(TEXTS)
    assert mean.dtype == log_variance.dtype == np.float32
    np.testing.assert_allclose(mean, wanted.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(log_variance, wanted.log_variance.numpy(), atol=1e-5)


def test_rows_of_all_kinds_in_one_call(engine: Engine) -> None:
    rows = [Row(text, way) for text in TEXTS for way in WAYS]
    noise = np.linspace(-1, 1, 4, dtype=np.float32)
    rows[3] = Row("old dog", WAYS[1], noise)
    together = engine.generate(rows)
    for one, row in zip(together, rows, strict=True):
        (alone,) = engine.generate([row])
        assert (one.text, one.ids, one.complete) == (alone.text, alone.ids, alone.complete)
        assert one.log_prob == pytest.approx(alone.log_prob, rel=1e-5)
    mean, log_variance = engine.encode(["old dog"])
    (alone,) = engine.decode(mean + np.exp(0.5 * log_variance) * noise, WAYS[1])
    assert together[3].text == alone.text


def test_batches_are_bounded_and_that_changes_nothing(engine: Engine) -> None:
    graphs = graphs_of(engine)
    z = np.random.default_rng(0).normal(size=(HYPOTHESES + 9, 4))
    ways = [Options(max_length=3, beam=i % 5 == 0) for i in range(len(z))]
    graphs.calls.clear()
    written = engine.decode(z, ways)
    sizes = [size for part, size in graphs.calls if part == "generate"]
    assert len(sizes) > 1 and sum(sizes) == len(z)
    assert max(sizes) <= HYPOTHESES
    assert written[-1].ids == engine.decode(z[-1:], ways[-1])[0].ids


def test_nothing_asked_for_is_nothing_written(engine: Engine) -> None:
    calls = (engine.generate, engine.score, engine.paraphrase, engine.reconstruct)
    assert [call([]) for call in calls] == [[]] * 4
    assert engine.sample(0) == []
    assert engine.decode(np.zeros((0, 4))) == []
    assert engine.encode([])[0].shape == (0, 4)


def test_a_written_text_says_how_it_went(engine: Engine, text_model: TextModel) -> None:
    z = engine.encode(TEXTS)[0]
    generous, tight = (
        engine.decode(z, Options(max_length=60)),
        engine.decode(z, Options(max_length=2)),
    )
    for one in (*generous, *tight):
        assert one.text == text_model.tokenizer.decode(one.ids)
        assert one.log_prob < 0
    assert all(len(one.ids) <= 2 - one.complete for one in tight)


@pytest.mark.parametrize("tier", ["sentencepiece", "ids"])
def test_texts_that_are_too_long(text_model: TextModel, tmp_path: Path, tier: str) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.model").write_bytes(text_model.tokenizer.model)
    engine = engine_of(text_model, tmp_path, tier)
    cropping = engine_of(text_model, tmp_path, tier, crop=True)
    reader = TextModel(text_model.model, text_model.tokenizer, crop=True)
    limit = text_model.max_pieces
    words = text_model.tokenizer.pieces(range(5, text_model.tokenizer.vocab_size))
    word = next(w[1:] for w in words if w.startswith("▁") and len(w) > 1)
    full, over = " ".join([word] * limit), " ".join([word] * (limit + 1))
    assert len(text_model.tokenizer.encode(full)) == limit
    for texts in ([full], ["a", f" {full} "]):
        engine.encode(texts)
        engine.generate([Row(text, Options(max_length=2)) for text in texts])
    for text in (over, "日本" * limit, over * 9):
        for call in (
            lambda t: engine.encode(["a", t]),
            lambda t: engine.generate([Row("a"), Row(t)]),
            lambda t: engine.score(["a", t]),
        ):
            with pytest.raises(UserError, match=rf"item 1 .* more than {limit} pieces"):
                call(text)
        np.testing.assert_allclose(
            cropping.encode([text])[0], reader.latent_mean([text]), atol=1e-5
        )
    short = Options(max_length=6)
    found = cropping.paraphrase([over], 2, options=short)
    wanted = reader.paraphrase([over], 2, decoding=decoding_of(short))
    assert [c.copy for c in found[0].candidates] == [c.copy for c in wanted[0].candidates]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.score("text"), "expected a list of strings"),
        (lambda e: e.encode(["a", 3]), "item 1 is int"),
        (lambda e: e.generate([Row("a", noise=np.zeros(3))]), r"item 0: noise has shape \(3,\)"),
        (lambda e: e.generate([Row("a", noise=np.full(4, np.nan))]), "finite"),
        (lambda e: e.decode(np.zeros((2, 3))), r"z has shape \(2, 3\)"),
        (lambda e: e.decode(np.zeros(4)), r"z has shape \(4,\)"),
        (lambda e: e.decode(np.full((1, 4), np.inf)), "infinity"),
        (lambda e: e.decode(np.zeros((2, 4)), [Options()]), "1 options for 2 vectors"),
        (lambda e: e.paraphrase(["a"], 0), "n is 0"),
        (lambda e: e.paraphrase(["a"], True), "n is True"),
        (lambda e: e.paraphrase(["a"], noise_scale=-1), "noise_scale is -1"),
        (lambda e: e.sample(-1), "n is -1"),
        (lambda e: e.interpolate("a", "b", 1), "steps is 1"),
        (lambda e: e.score(["a"], samples=0), "samples is 0"),
        (lambda e: e.score(["a"], seed=2**63), "seed is 9223372036854775808"),
        (lambda e: e.convert("a.wav"), "a speech bundle is needed"),
    ],
)
def test_what_is_wrong_is_named(
    engine: Engine, call: Callable[[Engine], object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        call(engine)


def test_warm_up_uses_every_graph(engine: Engine) -> None:
    graphs = graphs_of(engine)
    graphs.calls.clear()
    engine.warm_up()
    assert {part for part, _ in graphs.calls} == {
        "model", "encoder", "prior", "start", "step", "generate", "scorer", "tokenizer",
        "detokenizer",
    }  # fmt: skip
