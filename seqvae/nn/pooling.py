"""From the states of a sequence to one vector.

Pooling over all states instead of taking the last one is by itself a remedy against collapse
(Long et al. 2019, arXiv 1911.03976): every word has a short path into the posterior.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "max", "mean_max", "attention", "last"]


class Pool(nn.Module):
    """Reduce states [B, T, H] to [B, H].

    Args:
        width: H.
        kind: `mean`, `max`, `mean_max` (their sum), `attention` (one learned query), or `last` (the
            state of the last valid step, as most older recurrent VAEs do; prone to collapse).
    """

    def __init__(self, width: int, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind
        self.score = nn.Linear(width, 1) if kind == "attention" else None

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool `states` [B, T, H] where `mask` [B, T] is true."""
        gate = mask.unsqueeze(-1)
        if self.kind == "last":
            last = mask.sum(1).clamp_min(1) - 1
            return states[torch.arange(states.shape[0], device=states.device), last]
        if self.score is not None:
            score: Tensor = self.score(states)
            weight = score.masked_fill(~gate, float("-inf")).softmax(1)
            return (weight * states).sum(1)
        mean = (states * gate).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        if self.kind == "mean":
            return mean
        most = states.masked_fill(~gate, float("-inf")).amax(1)
        return most if self.kind == "max" else mean + most
