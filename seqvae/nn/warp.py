"""Warp the mel axis: the same words from a longer or a shorter throat.

The encoder of the content reads warped frames in training while the decoder must write the true ones, so
that it learns not to rely on where the formants lie (vocal tract length perturbation, Jaitly and Hinton
2013; spectrogram resizing, Li et al. 2023, arXiv 2210.15418).
"""

import torch
from torch import Tensor

from seqvae.ops import uniform


def draw_factors(seed: Tensor, size: int, amount: float, stream: int = 0) -> Tensor:
    """Factors from 1 - `amount` to 1 + `amount`, uniform, float32 [size].

    Args:
        seed: int64, one element.
        size: how many.
        amount: from 0 (all are 1) to below 1.
        stream: offset under the seed.

    Raises:
        ValueError: the amount is not in its range.
    """
    if not 0.0 <= amount < 1.0:
        raise ValueError(f"warp must be from 0 to below 1, got {amount}")
    return 1.0 - amount + 2.0 * amount * uniform(seed, (size,), stream)


def warp_mels(mel: Tensor, factors: Tensor) -> Tensor:
    """Frames whose bin i is what bin i * factor was, between bins interpolated linearly.

    Args:
        mel: [B, T, F].
        factors: [B]; above 1 formants move down, below 1 up. Past the last bin that one is repeated.

    Returns:
        [B, T, F]; exactly `mel` at factor 1.
    """
    bins = mel.shape[2]
    where = torch.arange(bins, device=mel.device) * factors[:, None].to(mel.device)
    where = where.clamp_max(bins - 1)
    # Weights of the triangle around each place: [B, from, to].
    distance = (torch.arange(bins, device=mel.device)[None, :, None] - where[:, None, :]).abs()
    return torch.bmm(mel, (1.0 - distance).clamp_min(0.0).to(mel.dtype))
