"""AdamW with decay on matrices alone, and the learning rate over a run."""

import math

import torch
from torch import nn

from seqvae.config import Training


def build_optimizer(model: nn.Module, config: Training) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable weights of `model`."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate(config: Training, progress: float) -> float:
    """Linear warm-up, then a cosine down to `final_rate`, at `progress` in [0, 1]."""
    if progress < config.warmup:
        return config.learning_rate * max(progress, 1e-3) / config.warmup
    along = (progress - config.warmup) / max(1e-9, 1.0 - config.warmup)
    low = config.final_rate
    return config.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * along)))
