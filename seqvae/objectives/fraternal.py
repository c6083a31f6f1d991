"""Fraternal dropout: two passes with different dropout must predict alike (Zolna et al. 2018, arXiv 1711.00066).

The two differ in what is dropped, blanked inputs (word dropout) among it, and agree in z: what is held against
their difference is a reason to rely on z. As a remedy against collapse: Petit and Corro 2021, arXiv 2110.14945.
"""

import torch
from torch import Tensor, nn

FRATERNAL = "fraternal"
"""Its name among the auxiliary terms and in the log."""


def disagreement(first: Tensor, second: Tensor, likelihood: nn.Module, lengths: Tensor) -> Tensor:
    """sum_t |l_t - l'_t|^2 / V of the logits l = E h of two passes (eq. 3 of Zolna et al., summed over steps).

    The logits are never made: |E d|^2 = d' (E'E) d costs H^2 a step instead of V H.

    Args:
        first: decoder states, [N, T - 1, H].
        second: of the other pass.
        likelihood: of tokens; its `embedding.weight` E [V, H] makes logits of states.
        lengths: steps of each row, start and end counted, [N].

    Returns:
        Squared logits per sequence (no nats), [N], float32.
    """
    with torch.autocast(first.device.type, enabled=False):
        gap = (first - second).float()
        weight = likelihood.get_parameter("embedding.weight").float()
        squared = ((gap @ (weight.t() @ weight)) * gap).sum(-1) / len(weight)
        steps = torch.arange(squared.shape[1], device=squared.device)
        return (squared * (steps[None, :] < lengths[:, None] - 1)).sum(1)
