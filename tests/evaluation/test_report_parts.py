"""The report's parts: verdicts, escaping, axes, settings."""

import dataclasses

import numpy as np
import pytest

from seqvae.config import preset
from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.evaluation.report.differences import differences
from seqvae.evaluation.report.examples import LatentMap, principal_axes, spelled
from seqvae.evaluation.report.html import Html, element, safe
from seqvae.evaluation.report.latent_map import latent_map
from seqvae.evaluation.report.verdict import judge
from seqvae.objectives import Elbo

GOOD = {
    "kl": 8.1, "mi": 5.6, "mi_cap": 6.2, "prior_gap": 15.0, "active_units": 32, "dimensions": 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({}, "good", "carries information"),
        ({"kl": 0.1, "mi": 0.0, "prior_gap": 0.1}, "bad", "collapsed"),
        ({"mi": 0.8}, "bad", "hardly any information"),
        ({"prior_gap": 0.4}, "bad", "decoder ignores it"),
        ({"mi": 3.0}, "fair", "mutual information is 3.00 nats of 6.20"),
        ({"kl": 11.0}, "fair", "38% too high"),
        ({"kl": 6.6}, "fair", "18% too low"),
        ({"active_units": 3}, "fair", "3 of 32"),
        ({"kl": float("nan")}, "none", "cannot be judged yet"),
    ],
)
def test_verdicts(change: dict[str, float], level: str, words: str) -> None:
    verdict = judge(GOOD | change, target=8.0, exact=(1, 2), accuracy=0.1)
    assert verdict.level == level
    assert words in verdict.headline


def test_nothing_to_judge() -> None:
    assert judge(None).level == "none"
    assert "language model" in judge(GOOD, latent=False).headline


def test_text_is_escaped_and_markup_is_not() -> None:
    assert safe("<a> & \"'") == "&lt;a&gt; &amp; &quot;&#x27;"
    assert safe(Html("<b>x</b>")) == "<b>x</b>"
    assert safe("a\x00\x1b\n\udcff") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\n?"
    assert element("p", "<x>", class_='"', data_head=None) == '<p class="&quot;">&lt;x&gt;</p>'


@pytest.mark.parametrize("shape", [(3, 1), (5, 2), (40, 6)])
def test_principal_axes_are_those_of_the_covariance(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    means = generator.normal(size=shape) * np.arange(1, shape[1] + 1)
    points, explained = principal_axes(means)
    values = np.sort(np.linalg.eigvalsh(np.atleast_2d(np.cov(means.T))))[::-1]
    count = min(2, shape[1])
    np.testing.assert_allclose(points.var(0, ddof=1)[:count], values[:count])
    np.testing.assert_allclose(explained[:count], values[:count] / values.sum())
    np.testing.assert_allclose(principal_axes(means + 7.0)[0], points, atol=1e-9)


def test_axes_of_a_collapsed_latent_are_finite() -> None:
    points, explained = principal_axes(np.zeros((4, 3)))
    assert not points.any()
    assert explained == (0.0, 0.0)


def test_every_point_has_its_sentence() -> None:
    count, labels = 30, [i % 11 for i in range(30)]
    found = LatentMap(
        texts=[f"<s{i}>" for i in range(count)],
        points=np.random.default_rng(0).normal(size=(count, 2)),
        explained=(0.5, 0.25),
        lengths=np.arange(count, dtype=float),
        labels=labels,
    )
    drawing = latent_map(found, [f"$label & {i}$" for i in range(10)])
    for i in range(count):
        assert drawing.count(f"<title>&lt;s{i}&gt;</title>") == 1
    assert "$label &amp; 3$" in drawing
    assert "3 other labels" in drawing
    by_length = latent_map(dataclasses.replace(found, labels=None), [])
    assert by_length.count("<title>") == count


def test_runs_of_tokens_are_spelled() -> None:
    lines = [f"the cat number {i} sat on the mat" for i in range(50)]
    tokenizer = Tokenizer(train_tokenizer(lines, vocab_size=310, model_type="unigram"))
    for text in ("the cat sat", "日本 cat", "\N{SMILING FACE WITH OPEN MOUTH}"):
        ids = tokenizer.encode(text)
        assert spelled(tokenizer, ids).removeprefix(" ") == text
    # Half a character is shown as a mark, not as an error.
    assert "\N{REPLACEMENT CHARACTER}" in spelled(tokenizer, tokenizer.encode("日")[:-1])


def test_differences_name_the_nearest_preset() -> None:
    assert differences(preset("small")) == ("small", [])
    training = dataclasses.replace(preset("tiny").training, epochs=3.0)
    name, changed = differences(dataclasses.replace(preset("tiny"), training=training, run="x"))
    assert (name, changed) == (
        "tiny",
        [("training.epochs", str(preset("tiny").training.epochs), "3.0")],
    )
    _, changed = differences(dataclasses.replace(preset("tiny"), objective=Elbo()))
    assert ("objective", "RateTarget", "Elbo") in changed
    assert ("objective.rate", "8.0", "-") in changed
