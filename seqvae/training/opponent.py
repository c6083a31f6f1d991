"""A network of the objective's own that is trained beside the model, against it."""

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from seqvae.objectives import Objective
from seqvae.training.distributed import Process
from seqvae.training.optimizer import pack_optimizer, unpack_optimizer

# As GANs are trained since DCGAN (Radford et al. 2016, arXiv 1511.06434, sec. 4): with a momentum of 0.9 the two
# players swing about each other.
BETAS = (0.5, 0.999)
_WEIGHTS, _OPTIMIZER = "network.", "optimizer."


class Opponent:
    """The objective's network and its optimizer; nothing at all where it has none.

    It is no part of the model: its weights lie in checkpoints to resume from, not in results.

    Args:
        objective: attached to the size of z already.
        process: this process among all that train.
    """

    def __init__(self, objective: Objective, process: Process) -> None:
        self.network, self.process = objective.opponent, process
        self.parameters = [] if self.network is None else list(self.network.parameters())
        self.optimizer: torch.optim.Adam | None = None
        if self.network is not None:
            rate = objective.opponent_rate
            self.optimizer = torch.optim.Adam(self.parameters, lr=rate, betas=BETAS)

    def forget(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def gather(self) -> float:
        """Average the gradients over the processes; returns their norm, 0 where there are none."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            return 0.0
        self.process.average(gradients)
        return float(get_total_norm(gradients))

    def step(self) -> None:
        """Learn from the gradients, if a loss gave any."""
        if self.optimizer is not None:
            self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and moments by name, for the checkpoint."""
        if self.network is None or self.optimizer is None:
            return {}
        moments, _ = pack_optimizer(self.optimizer)
        weights = {_WEIGHTS + name: value for name, value in self.network.state_dict().items()}
        return weights | {_OPTIMIZER + name: value for name, value in moments.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned.

        Raises:
            UserError: tensors are missing.
            RuntimeError: they are of another network.
        """
        if self.network is None or self.optimizer is None:
            return
        self.network.load_state_dict(_part(state, _WEIGHTS))
        moments = _part(state, _OPTIMIZER)
        # An autoencoder phase takes the objective's place: until it ends there are no moments.
        if moments:
            unpack_optimizer(self.optimizer, moments, {"count": len(self.parameters)})


def _part(state: dict[str, Tensor], begin: str) -> dict[str, Tensor]:
    return {name.removeprefix(begin): t for name, t in state.items() if name.startswith(begin)}
