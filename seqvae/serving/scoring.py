"""How (im)probable texts are; the twin of `seqvae.tasks.score`."""

from collections.abc import Sequence

import numpy as np

from seqvae.errors import UserError
from seqvae.serving.core import Array, Core
from seqvae.serving.latent import (
    divergence,
    importance_weighted,
    log_ratio,
    sample,
    sequence_noise,
)
from seqvae.serving.results import Piece, Score
from seqvae.serving.tokens import Ids

PIECE_SAMPLES = 16
"""Most samples of z over which surprisals are averaged; their error is far below that of one."""
MAX_SAMPLES = 10_000
SIDE_BY_SIDE = 4096
"""Samples whose vectors and surprisals are held at once, whatever they cost the scorer."""


def score(core: Core, texts: Sequence[str], samples: int, seed: int) -> list[Score]:
    """See `Engine.score`."""
    if isinstance(samples, bool) or not isinstance(samples, int):
        raise UserError(f"score: samples is {samples!r}; it must be a whole number")
    if not 1 <= samples <= MAX_SAMPLES:
        raise UserError(f"score: samples is {samples}; it must be 1 to {MAX_SAMPLES}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise UserError(f"score: seed is {seed!r}; it must be a 64-bit integer")
    ids = core.read(texts)
    if not core.facts.latent:
        exact = core.surprisals(ids, None)
        return [_score(core, *one, 0.0, None) for one in zip(texts, ids, exact, strict=True)]
    if not ids:
        return []
    mean, log_variance = core.posterior(ids)
    size = max(1, SIDE_BY_SIDE // samples)
    found: list[Score] = []
    for begin in range(0, len(ids), size):
        part = slice(begin, begin + size)
        weighted = _drawn(core, ids[part], mean[part], log_variance[part], samples, seed)
        found += [_score(core, *one) for one in zip(texts[part], ids[part], *weighted, strict=True)]
    return found


def _drawn(
    core: Core, ids: Sequence[Ids], mean: Array, log_variance: Array, samples: int, seed: int
) -> tuple[list[Array], list[float], list[float]]:
    """Surprisals of each token, the KL and the importance-weighted estimate of each text."""
    few = min(samples, PIECE_SAMPLES)
    # Two streams: the noise of the pieces does not depend on how many samples weigh the whole.
    z, surprisals, ratio = {}, {}, {}
    learned = False
    for stream, count in (("posterior", samples), ("score", few)):
        noise = [sequence_noise(row, seed, stream, count, core.facts.latent) for row in ids]
        z[stream] = sample(mean[:, None], log_variance[:, None], np.stack(noise))
        log_prior = core.log_prior(z[stream])
        learned = log_prior is not None
        ratio[stream] = log_ratio(z[stream], mean[:, None], log_variance[:, None], log_prior)
        rows = [row for row in ids for _ in range(count)]
        surprisals[stream] = core.surprisals(rows, z[stream].reshape(-1, core.facts.latent))
    nll = np.array([s.sum(dtype=np.float32) for s in surprisals["posterior"]], np.float32)
    log_weights = ratio["posterior"] - nll.reshape(len(ids), samples)
    pieces = [
        np.mean(surprisals["score"][i * few : (i + 1) * few], axis=0) for i in range(len(ids))
    ]
    # Under a learned prior it has no closed form: the mean over the samples of the pieces.
    kl = -ratio["score"].mean(1) if learned else divergence(mean, log_variance)
    return pieces, kl.tolist(), [importance_weighted(row) for row in log_weights]


def _score(
    core: Core, text: str, ids: Ids, surprisal: Array, kl: float, nll_iw: float | None
) -> Score:
    names = [*(core.facts.pieces[i] for i in ids), "</s>"]
    pieces = [Piece(name, value) for name, value in zip(names, surprisal.tolist(), strict=True)]
    reconstruction = sum(piece.surprisal for piece in pieces)
    exact = reconstruction if nll_iw is None else nll_iw
    return Score(text, -(reconstruction + kl), exact, kl, reconstruction, pieces)
