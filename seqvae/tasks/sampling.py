"""Which tokens may follow, and the draw of one of them by counter-based Gumbel noise."""

import torch
from torch import Tensor

from seqvae.data.text import BLANK, BOS, PAD, UNK
from seqvae.ops.philox import UNIFORM_SCALE, philox4x32, word_to_uniform

NEVER = (PAD, UNK, BOS, BLANK)
"""Tokens that no strategy ever writes."""
COLDEST = 1e-6
"""Lowest temperature; below it there is no difference from greedy."""
HEAD = 512
"""Tokens among which a nucleus is looked for before all are sorted; it changes no result."""


def forbid(scores: Tensor, written: Tensor, no_repeat_ngram: int) -> Tensor:
    """`scores` [N, V] with minus infinity for tokens that must not come next.

    Args:
        scores: log-probabilities.
        written: tokens so far, shape [N, T].
        no_repeat_ngram: n; a token that would repeat a run of n tokens is forbidden. 0: none is.
    """
    scores = scores.clone()
    scores[:, list(NEVER)] = float("-inf")
    n, steps = no_repeat_ngram, written.shape[1]
    if n and steps >= n:
        runs = written.unfold(1, n, 1)
        context = written[:, None, steps - n + 1 :]
        seen = (runs[..., :-1] == context).all(-1)
        # Index 0 is forbidden already: a harmless target for the runs that do not match.
        scores.scatter_(1, torch.where(seen, runs[..., -1], PAD), float("-inf"))
    return scores


def draw(
    scores: Tensor,
    seed: Tensor,
    rows: Tensor,
    step: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Tensor:
    """Sample one token a row; a pure function of the row's scores, its key, the seed and the step.

    Gumbel-max (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030): the argmax of log-probability
    plus Gumbel noise is a sample. Filters apply in the order temperature, top_k, top_p.

    Args:
        scores: log-probabilities, minus infinity where forbidden, shape [N, V].
        seed: int64, one element.
        rows: key of each row, int64, below 2**31 - 1, shape [N].
        step: number of the token in its sequence.
        temperature: divides the scores, at least `COLDEST`.
        top_k: only the k most probable tokens; 0: all.
        top_p: only the fewest tokens with at least this mass (Holtzman et al. 2020,
            arXiv 1904.09751).

    Returns:
        Token ids, shape [N].
    """
    # From the best score down: a tiny temperature makes the others minus infinity, not all of them.
    scores = (scores - scores.amax(1, keepdim=True)) / temperature
    vocabulary = scores.shape[1]
    if not (0 < top_k < vocabulary) and top_p >= 1:
        return (scores + _noise_of_all(seed, rows, step, vocabulary)).argmax(1)
    ids = torch.arange(vocabulary, device=scores.device).expand_as(scores)
    if 0 < top_k < vocabulary:
        scores, ids = scores.topk(top_k)
    if top_p < 1:
        scores, where = _nucleus(scores, top_p)
        ids = ids.gather(1, where)
    if 4 * ids.shape[1] < vocabulary:
        noise = _gumbel(seed, rows, step, ids // 4).gather(2, (ids % 4)[..., None])[..., 0]
    else:  # a block makes the noise of four tokens: all blocks are no more than one for each token
        noise = _noise_of_all(seed, rows, step, vocabulary).gather(1, ids)
    return ids.gather(1, (scores + noise).argmax(1, keepdim=True))[:, 0]


def _nucleus(scores: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The fewest scores of each row with mass `top_p`, padded with minus infinity, and their places."""
    total, every = scores.logsumexp(1, keepdim=True), scores.shape[1]
    for width in (min(HEAD, every), every):
        top, where = scores.topk(width)
        mass = (top - total).exp()
        if bool((mass.sum(1) >= top_p).all()):
            break
    top = top.masked_fill(mass.cumsum(1) - mass >= top_p, float("-inf"))
    widest = int(top.isfinite().sum(1).max())
    return top[:, :widest], where[:, :widest]


def _noise_of_all(seed: Tensor, rows: Tensor, step: int, vocabulary: int) -> Tensor:
    blocks = torch.arange((vocabulary + 3) // 4, device=rows.device)
    return _gumbel(seed, rows, step, blocks.expand(len(rows), -1)).flatten(1)[:, :vocabulary]


def _gumbel(seed: Tensor, rows: Tensor, step: int, blocks: Tensor) -> Tensor:
    """Noise of four neighbouring tokens a block: blocks [N, M] to [N, M, 4], float32."""
    # Row keys start at 1: offsets below 2**32 are the noise of z under the same seed.
    offset = ((rows + 1) << 32) + step
    words = torch.stack(philox4x32(seed, blocks, offset[:, None]), -1)
    # log1p of a small u resolves the large noise, which decides, to 31 bits.
    return -torch.log(-torch.log1p(-word_to_uniform(words).clamp_min(UNIFORM_SCALE / 2)))
