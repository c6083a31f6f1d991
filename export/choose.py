"""The choice of the next token as modules that export to ONNX: what `seqvae.tasks` chooses.

One step writes one token a row. All take logits [B, V], float32, and give the tokens, int64 [B, 1],
and their log-probabilities under the model as trained (no temperature, no filter), float32 [B, 1]:

    Greedy        logits -> token, log_prob
    SampledAll    logits, u, temperature -> token, log_prob
    Sampled       logits, u, temperature, top_k, top_p -> token, log_prob

`Sampled` sorts, `SampledAll` does not: use it where no row filters. In both a row colder than
`seqvae.tasks.sampling.COLDEST` is greedy. `u` is one column of `seqvae.export.noise.Uniforms`.
"""

import torch
from torch import Tensor, nn

from seqvae.tasks.sampling import COLDEST, NEVER, pick

# A power of two divides without rounding: scores that differ still do, by far more than `exp` sees.
FROZEN = 2.0**-100


class Choice(nn.Module):
    """What the choices share.

    Args:
        vocabulary: V.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        mask = torch.zeros(1, vocabulary)
        mask[:, list(NEVER)] = float("-inf")
        self.register_buffer("mask", mask)

    def allowed(self, logits: Tensor) -> Tensor:
        """`logits` with minus infinity for tokens that never come."""
        return logits + self.get_buffer("mask")


class Greedy(Choice):
    """The most probable token; of several, the first."""

    def forward(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose.

        Args:
            logits: shape [B, V], float32.

        Returns:
            Tokens, int64 [B, 1], and log-probabilities, float32 [B, 1].
        """
        token = self.allowed(logits).argmax(1, keepdim=True)
        return token, log_prob_of(logits, token)


class SampledAll(Choice):
    """A token drawn from all, as `seqvae.tasks.sampling.draw` does."""

    def forward(self, logits: Tensor, u: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Draw.

        Args:
            logits: shape [B, V], float32.
            u: uniform numbers in [0, 1), shape [B, 1], float32.
            temperature: below `COLDEST` a row is greedy, shape [B, 1], float32.

        Returns:
            Tokens, int64 [B, 1], and log-probabilities, float32 [B, 1].
        """
        token = pick(self.allowed(logits), *_greedy_where_cold(u, temperature))
        return token, log_prob_of(logits, token)


class Sampled(Choice):
    """A token drawn from those that the filters keep, as `seqvae.tasks.sampling.draw` does."""

    def forward(
        self, logits: Tensor, u: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw.

        Args:
            logits: shape [B, V], float32.
            u: uniform numbers in [0, 1), shape [B, 1], float32.
            temperature: below `COLDEST` a row is greedy, shape [B, 1], float32.
            top_k: see `seqvae.tasks.sampling.keep`; 0: all, int64 [B, 1].
            top_p: likewise; 1: all, float32 [B, 1].

        Returns:
            Tokens, int64 [B, 1], and log-probabilities, float32 [B, 1].
        """
        token = pick(self.allowed(logits), *_greedy_where_cold(u, temperature), top_k, top_p)
        return token, log_prob_of(logits, token)


def log_prob_of(logits: Tensor, token: Tensor) -> Tensor:
    """log softmax of `logits` [B, V] at `token` [B, 1], shape [B, 1].

    Runtimes have a vectorised LogSoftmax; their ReduceLogSumExp, which would not write V numbers,
    takes six times as long.
    """
    return logits.log_softmax(1).gather(1, token)


def _greedy_where_cold(u: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Where it is colder than can be drawn at: a temperature that leaves the best, and the first of them."""
    cold = temperature < COLDEST
    return torch.where(cold, 0.0, u), torch.where(cold, FROZEN, temperature)
