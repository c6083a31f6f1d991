"""Vocabulary projection and cross-entropy in one operation that never holds all logits.

The logits of M tokens over V pieces would take M x V floats, forward and again backward; here a
chunk of rows is projected, reduced and dropped, and recomputed in backward. With V = 32,000 that is
most of a text model's memory.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

# 4 Mi float32 logits = 16 MiB: a chunk stays inside a desktop CPU's last-level cache.
CHUNK_ELEMENTS = 1 << 22


def _rows(vocabulary: int) -> int:
    return max(16, CHUNK_ELEMENTS // vocabulary)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        rows = _rows(weight.shape[0])
        loss = torch.empty(hidden.shape[0], dtype=torch.float32, device=hidden.device)
        log_sum = torch.empty_like(loss)
        for begin in range(0, hidden.shape[0], rows):
            part = slice(begin, begin + rows)
            logits = (hidden[part] @ weight.t()).float()
            torch.logsumexp(logits, -1, out=log_sum[part])
            loss[part] = log_sum[part] - logits.gather(1, targets[part, None]).squeeze(1)
        ctx.save_for_backward(hidden, weight, targets, log_sum)  # type: ignore[attr-defined]
        return loss

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, log_sum = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        rows = _rows(weight.shape[0])
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        for begin in range(0, hidden.shape[0], rows):
            part = slice(begin, begin + rows)
            logits = (hidden[part] @ weight.t()).float()
            delta = logits.sub_(log_sum[part, None]).exp_()
            delta.scatter_add_(1, targets[part, None], torch.full_like(log_sum[part, None], -1.0))
            delta = delta.mul_(grad[part, None]).to(hidden.dtype)
            torch.mm(delta, weight, out=grad_hidden[part])
            if grad_weight.dtype == delta.dtype:
                grad_weight.addmm_(delta.t(), hidden[part])
            else:
                grad_weight += delta.t() @ hidden[part]
        return grad_hidden, grad_weight.to(weight.dtype), None


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Negative log-probability of each target, without storing the logits.

    Args:
        hidden: decoder states, shape [M, H].
        weight: output embedding, shape [V, H].
        targets: token ids, shape [M], int64.

    Returns:
        Nats per token, shape [M], float32.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        # Autocast does not reach inside an autograd.Function.
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


def linear_cross_entropy_reference(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The same with full logits: the truth that tests compare with. Shapes as above."""
    logits = hidden @ weight.t()
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
