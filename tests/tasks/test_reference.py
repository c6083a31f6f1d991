"""Known texts to compare others with: its space, its neighbours, and what is odd in a trained model's eyes."""

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.tasks.reference import Reference, Vectors, _whitening
from seqvae.tasks.text_model import TextModel

KNOWN = [f"the {a} {b} {c}" for a in ("red", "old") for b in ("cat", "dog") for c in "abcdefgh"]
LABELS = [text.split()[2] for text in KNOWN]


def test_white_within_labels() -> None:
    generator = np.random.default_rng(0)
    mix = generator.normal(size=(3, 3))
    labels = [str(i % 4) for i in range(4000)]
    centres = 10 * generator.normal(size=(4, 3))
    drawn = generator.normal(size=(4000, 3)) @ mix + np.tile(centres, (1000, 1))
    vectors: Vectors = drawn.astype(np.float32)
    white = (vectors @ _whitening(vectors, labels)).astype(np.float64)
    within = np.concatenate([white[i::4] - white[i::4].mean(0) for i in range(4)])
    assert np.allclose(np.cov(within.T), np.eye(3), atol=1e-3)
    assert np.allclose(np.cov((vectors @ _whitening(vectors, None)).T), np.eye(3), atol=1e-3)


def test_an_empty_direction_stays_empty() -> None:
    vectors = np.zeros((50, 3), np.float32)
    vectors[:, 0] = np.linspace(-1, 1, 50)
    assert np.isfinite(_whitening(vectors, None)).all()


@pytest.mark.parametrize("labels", [None, LABELS])
def test_distances_are_cosines_to_the_nearest(
    text_model: TextModel, labels: list[str] | None
) -> None:
    reference = Reference(text_model, KNOWN, labels, neighbours=3)
    texts = ["the red cat", "日本", KNOWN[5]]
    vectors = text_model.embed(KNOWN)
    white = _whitening(vectors, labels)
    directions = [(v - vectors.mean(0)) @ white for v in (vectors, text_model.embed(texts))]
    near, far = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in directions)
    wanted = 1 - np.sort(far @ near.T, axis=1)[:, -3:].mean(1)
    found = reference.distances(texts)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert 0 <= found.min() and found.max() <= 2
    assert Reference(text_model, KNOWN, labels, neighbours=1).distances(
        KNOWN[5:6]
    ) == pytest.approx(0, abs=1e-5)
    assert reference.distances([]).shape == (0,)


def test_known_texts_are_usual_by_their_own_measure(text_model: TextModel) -> None:
    reference = text_model.reference(KNOWN)
    scores = text_model.score(KNOWN, samples=1)
    # Each is its own neighbour here, which the measure leaves out: the distance falls, the mean is not above 0.
    odd = reference.oddity(scores)
    assert odd.mean() < 0.1
    worse = reference.oddity(text_model.score(["日本 éé"], samples=1))
    parts = reference.distances(["日本 éé"])
    assert worse.shape == parts.shape == (1,) and np.isfinite(worse).all()


@pytest.mark.parametrize(
    ("known", "labels", "neighbours", "words"),
    [
        (KNOWN[:5], None, 10, "5 known texts; it takes 11"),
        (KNOWN, LABELS[1:], 3, "31 labels of 32"),
        (KNOWN, None, 0, "neighbours is 0"),
    ],
)
def test_refused(
    text_model: TextModel,
    known: list[str],
    labels: list[str] | None,
    neighbours: int,
    words: str,
) -> None:
    with pytest.raises(UserError, match=words):
        Reference(text_model, known, labels, neighbours=neighbours)


def test_a_language_model_has_no_space(language_model: TextModel) -> None:
    with pytest.raises(UserError, match="reference needs a latent"):
        language_model.reference(KNOWN)
