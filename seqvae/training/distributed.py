"""One process or many: what `torchrun` says of this one, and averages over all of them."""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from seqvae.errors import UserError


@dataclass(frozen=True)
class Process:
    """This process among all that train together.

    Attributes:
        rank: its number; 0 writes files and talks.
        world: how many there are.
        device: where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Each value averaged over the processes."""
        if self.world == 1:
            return values
        packed = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(packed)
        return dict(zip(values, (packed / self.world).tolist(), strict=True))

    def agree(self, values: dict[str, Any]) -> dict[str, Any]:
        """What rank 0 measured, so that all decide alike: numbers and lists of numbers."""
        if self.world == 1:
            return values
        flat = [x for value in values.values() for x in _listed(value)]
        packed = torch.tensor(flat, dtype=torch.float64, device=self.device)
        dist.broadcast(packed, 0)
        numbers = iter(packed.tolist())
        taken = {name: [next(numbers) for _ in _listed(v)] for name, v in values.items()}
        return {name: x if isinstance(values[name], list) else x[0] for name, x in taken.items()}

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.world > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor /= self.world

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.world > 1:
            dist.barrier()


def _listed(value: Any) -> list[float]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


def join(device: str) -> Process:
    """Join the group that `torchrun` describes in the environment, or be alone.

    Args:
        device: auto, cpu or cuda.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device is cuda, but torch sees no GPU here; use auto or cpu")
    cuda = device != "cpu" and torch.cuda.is_available()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(where)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return Process(rank, world, where)


def leave() -> None:
    """Leave the group, if one was joined."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
