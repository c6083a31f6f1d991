"""AdamW with decay on matrices alone, and the learning rate over a run."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from seqvae.config import Training
from seqvae.errors import UserError


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


def pack_optimizer(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Adam's moments as named tensors; nothing that would need pickle."""
    packed = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            packed[f"{index}.{name}"] = torch.as_tensor(value)
    return packed, {"count": len(optimizer.state_dict()["state"])}


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, packed: dict[str, Tensor], numbers: dict[str, Any]
) -> None:
    """Restore what `pack_optimizer` returned.

    Raises:
        UserError: tensors are missing.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in packed.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    if len(state) != numbers["count"]:
        raise UserError("the checkpoint's optimizer state is incomplete; delete this checkpoint")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
