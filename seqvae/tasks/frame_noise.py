"""Noise of a frame-level latent that does not depend on how a recording is cut."""

import torch
from torch import Tensor

from seqvae.ops.philox import pair_to_normal, philox4x32, word_to_uniform


def frame_noise(
    seed: int, first: int, steps: int, dimension: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Rows `first` to `first + steps` of `seqvae.ops.normal(seed, (all, dimension))`.

    Returns:
        shape [steps, dimension], float32.
    """
    begin, end = first * dimension, (first + steps) * dimension
    blocks = torch.arange(begin // 4, (end + 3) // 4, device=device)
    words = philox4x32(torch.tensor([seed], device=device), blocks)
    u0, u1, u2, u3 = (word_to_uniform(word) for word in words)
    lanes = (*pair_to_normal(u0, u1), *pair_to_normal(u2, u3))
    flat = torch.stack(lanes, -1).flatten()
    return flat[begin % 4 : begin % 4 + end - begin].view(steps, dimension)
