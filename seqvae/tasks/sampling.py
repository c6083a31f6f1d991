"""Which tokens may follow, and the draw of one of them by one uniform number.

`pick` and what it calls are exported as they stand (`seqvae.export.choose`): no branch in them
depends on a value.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqvae.data.text import BLANK, BOS, PAD, UNK
from seqvae.ops.philox import uniform_rows

NEVER = (PAD, UNK, BOS, BLANK)
"""Tokens that no strategy ever writes."""
COLDEST = 1e-6
"""Lowest temperature; below it there is no difference from greedy."""
BISECTIONS = 4
"""Steps that narrow down what is sorted for a nucleus; they change no result."""
STRIDE = 1696631.25
"""2**20 times the golden ratio in 24 bits: its product with a float32 is exact in float64."""


def forbid(scores: Tensor, written: Tensor, no_repeat_ngram: int) -> Tensor:
    """`scores` [N, V] with minus infinity for tokens that must not come next.

    Args:
        scores: logits or log-probabilities.
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


def token_uniforms(seed: Tensor, rows: Tensor, first: int, count: int) -> Tensor:
    """The numbers that draw tokens `first`, `first` + 1, ... of each row.

    Args:
        seed: int64, one element, or one a row.
        rows: key of each row, int64, 0 to 2**31 - 2, shape [N].
        first: number of the first token in its sequence.
        count: C.

    Returns:
        float32 [N, C] in [0, 1).
    """
    # Keys start at 1: offsets below 2**32 are the noise of z under the same seed.
    return uniform_rows(seed, (rows + 1) << 32, first, count)


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

    Args:
        scores: logits or log-probabilities, minus infinity where forbidden, shape [N, V], float32.
        seed: int64, one element, or one a row.
        rows: key of each row, int64, 0 to 2**31 - 2, shape [N].
        step: number of the token in its sequence.
        temperature: divides the scores, at least `COLDEST`.
        top_k: see `keep`; 0: all.
        top_p: see `keep`; 1: all.

    Returns:
        Token ids, shape [N].
    """
    uniform = token_uniforms(seed, rows, step, 1)
    return pick(scores, uniform, *settings(scores, temperature, top_k, top_p))[:, 0]


def settings(
    scores: Tensor, temperature: float, top_k: int, top_p: float
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Temperature, top_k and top_p of `pick`, one for all rows of `scores`; None: keeps all."""

    def column(value: float, dtype: torch.dtype) -> Tensor:
        return torch.full((1, 1), value, dtype=dtype, device=scores.device)

    return (
        column(temperature, torch.float32),
        column(top_k, torch.int64) if 0 < top_k < scores.shape[1] else None,
        column(top_p, torch.float32) if top_p < 1 else None,
    )


def pick(
    scores: Tensor,
    uniform: Tensor,
    temperature: Tensor,
    top_k: Tensor | None = None,
    top_p: Tensor | None = None,
) -> Tensor:
    """The token of each row that its uniform number points at.

    Args:
        scores: logits or log-probabilities, minus infinity where forbidden, shape [N, V], float32.
        uniform: in [0, 1), shape [N, 1], float32.
        temperature: divides the scores, above 0, shape [N, 1] or [1, 1], float32.
        top_k: see `keep`.
        top_p: see `keep`.

    Returns:
        Token ids, shape [N, 1].
    """
    probabilities = (scores / temperature).softmax(1)
    if top_k is not None or top_p is not None:
        probabilities = keep(scores, probabilities, top_k, top_p)
    return invert(probabilities, uniform)


def keep(
    scores: Tensor, probabilities: Tensor, top_k: Tensor | None, top_p: Tensor | None
) -> Tensor:
    """`probabilities` [N, V] with 0 for the tokens that the filters leave out.

    Args:
        scores: what the probabilities rank by, shape [N, V]; their ties decide, not those that the
            rounding of probabilities makes.
        probabilities: of all tokens, shape [N, V].
        top_k: only the k tokens with the highest scores, and those that tie with the last of them;
            int64 [N, 1] or [1, 1], 0: all. None: all in every row.
        top_p: of these, only the fewest with the highest scores whose share of the mass reaches
            this, and those that tie with the last of them (Holtzman et al. 2020, arXiv
            1904.09751); float32 [N, 1] or [1, 1], 1: all. None: all in every row.
    """
    vocabulary = scores.shape[1]
    lowest = scores.new_full((1, 1), float("-inf"))
    k = torch.zeros_like(lowest, dtype=torch.int64) if top_k is None else top_k
    p = torch.ones_like(lowest) if top_p is None else top_p
    wanted = torch.where(k > 0, k, 1)
    if top_p is not None:
        wanted = torch.where((k < 1) & (p < 1), _bound(probabilities, p), wanted)
    wanted = wanted.clamp(1, vocabulary)
    top, where = scores.topk(_size(wanted.amax((0, 1)), vocabulary))
    threshold = torch.where(k > 0, top.gather(1, (wanted - 1).expand(top.shape[0], 1)), lowest)
    if top_p is not None:
        # Products: runtimes choose between two tensors ten times slower than they multiply them.
        total = (probabilities * (scores >= threshold)).sum(1, keepdim=True)
        mass = (probabilities.gather(1, where) * (top >= threshold)).double()
        before = mass.cumsum(1) - mass
        inside = (before < p.double() * total) & (top >= threshold)
        last = (inside.long().sum(1, keepdim=True) - 1).clamp_min(0)
        threshold = torch.where(p < 1, top.gather(1, last), threshold)
    return probabilities * (scores >= threshold)


def _bound(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """A number of tokens of each row that holds its nucleus, mostly by less than twice too many.

    Sorting these instead of all is what makes the filter fast. All tokens below a limit that have
    less than 1 - `top_p` together are outside; the limit is at least (1 - `top_p`) / V and found
    better by bisection.
    """
    # The hundredth covers rounding.
    outside = 0.99 * (1 - top_p)
    low, high = outside / probabilities.shape[1], torch.ones_like(top_p)
    for _ in range(BISECTIONS):
        middle = (low * high).sqrt()
        below = (probabilities * (probabilities <= middle)).sum(1, keepdim=True)
        fits = below <= outside
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return (probabilities > low).float().sum(1, keepdim=True).long()


def invert(weights: Tensor, uniform: Tensor) -> Tensor:
    """The token that a uniform number points at: first a block of tokens, then one of the block.

    Were all tokens side by side on the unit interval, a difference of 1e-6 between two runtimes in
    the first logits would move every border behind: of V = 8000 tokens one in a thousand draws
    differs then. So the place in the block is another number, the digits of `uniform` that did not
    decide the block: borders move the draw only within a block of about sqrt(V) tokens.

    Args:
        weights: not negative, at least one a row positive, shape [N, V], float32.
        uniform: in [0, 1), shape [N, 1], float32.

    Returns:
        Indices, never of a weight 0, shape [N, 1].
    """
    vocabulary = weights.shape[1]
    width = block_width(vocabulary)
    padding = -vocabulary % width
    weights = pad(weights, (0, padding)) if padding else weights
    # In float64: in float32 a sum depends on the order in which a runtime adds.
    blocks = weights.double().view(-1, (vocabulary + padding) // width, width)
    ends = blocks.sum(2).cumsum(1)
    target = uniform.double()
    block = (ends <= target * ends[:, -1:]).float().sum(1, keepdim=True).long()
    inside = blocks.gather(1, block[..., None].expand(-1, 1, width))[:, 0].cumsum(1)
    rest = target * STRIDE
    rest = rest - rest.floor()
    place = (inside <= rest * inside[:, -1:]).float().sum(1, keepdim=True).long()
    return block * width + place


def block_width(vocabulary: int) -> int:
    """Tokens of a block of `invert`: the first divisor of V from its root to twice that, or the root."""
    root = math.isqrt(vocabulary - 1) + 1
    return next((w for w in range(root, 2 * root) if vocabulary % w == 0), root)


def _size(width: Tensor, most: int) -> int:
    """A width that the data decide, as a number between 1 and `most` that can be exported."""
    size = width.item()
    torch._check(size >= 1)  # type: ignore[no-untyped-call]
    torch._check(size <= most)  # type: ignore[no-untyped-call]
    return int(size)
