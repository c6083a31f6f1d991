"""Vocabulary projection and cross-entropy in one operation that never holds all logits.

The logits of M tokens over V pieces would take M x V floats, forward and again backward; here a
chunk of rows is projected, reduced and dropped. With V = 32,000 that is
most of a text model's memory.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

# 4 Mi float32 logits = 16 MiB: a chunk stays inside a desktop CPU's last-level cache.
CHUNK_ELEMENTS = 1 << 22


def _rows(vocabulary: int) -> int:
    return max(16, CHUNK_ELEMENTS // vocabulary)


def _precision(hidden: Tensor) -> torch.dtype:
    """Of logits and sums: float32, or float64 for float64 states."""
    return torch.promote_types(hidden.dtype, torch.float32)


def _chunk(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats per token [m] and probabilities [m, V] of one chunk, at least float32."""
    logits = (hidden @ weight.t()).to(_precision(hidden))
    chosen = logits.gather(1, targets[:, None])
    most = logits.amax(1, keepdim=True)
    probabilities = logits.sub_(most).exp_()
    total = probabilities.sum(1, keepdim=True)
    probabilities /= total
    return (total.log_() + most - chosen).squeeze(1), probabilities


def _add_gradients(
    probabilities: Tensor,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    scale: Tensor | None,
    into: tuple[Tensor, Tensor],
) -> None:
    """Gradients of the (scaled) nats of one chunk: written to hidden's [m, H], added to weight's [V, H]."""
    delta = probabilities.scatter_add_(
        1, targets[:, None], probabilities.new_full((len(targets), 1), -1.0)
    )
    if scale is not None:
        delta = delta.mul_(scale[:, None])
    delta = delta.to(hidden.dtype)
    torch.mm(delta, weight, out=into[0])
    if into[1].dtype == delta.dtype:
        # In place: another [V, H] beside the sum would be the largest tensor of a small model.
        into[1].addmm_(delta.t(), hidden)
    else:
        into[1].add_(delta.t() @ hidden)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, weight: Tensor, targets: Tensor, eager: bool
    ) -> Tensor:
        rows = _rows(weight.shape[0])
        loss = torch.empty(hidden.shape[0], dtype=_precision(hidden), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if eager else None
        grad_weight = torch.zeros_like(weight, dtype=_precision(hidden)) if eager else None
        for begin in range(0, hidden.shape[0], rows):
            part = slice(begin, begin + rows)
            loss[part], probabilities = _chunk(hidden[part], weight, targets[part])
            if grad_hidden is not None and grad_weight is not None:
                into = (grad_hidden[part], grad_weight)
                _add_gradients(probabilities, hidden[part], weight, targets[part], None, into)
        ctx.save_for_backward(hidden, weight, targets, grad_hidden, grad_weight)  # type: ignore[arg-type]
        return loss

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, unit_hidden, unit_weight = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        if unit_weight is not None and bool((grad == grad[0]).all()):
            scale = grad[0]
            grad_weight = (unit_weight * scale).to(weight.dtype)
            return unit_hidden * scale.to(hidden.dtype), grad_weight, None, None
        rows = _rows(weight.shape[0])
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=_precision(hidden))
        for begin in range(0, hidden.shape[0], rows):
            part = slice(begin, begin + rows)
            _, probabilities = _chunk(hidden[part], weight, targets[part])
            into = (grad_hidden[part], grad_weight)
            _add_gradients(probabilities, hidden[part], weight, targets[part], grad[part], into)
        return grad_hidden, grad_weight.to(weight.dtype), None, None


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Negative log-probability of each target, without storing the logits.

    Args:
        hidden: decoder states, shape [M, H].
        weight: output embedding, shape [V, H].
        targets: token ids, shape [M], int64.

    Returns:
        Nats per token, shape [M], float32 (float64 for float64 states).
    """
    if torch.is_autocast_enabled(hidden.device.type):
        # Autocast does not reach inside an autograd.Function.
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    # Most objectives weigh all tokens alike. Gradients for weight 1 are then computed while the
    # probabilities are at hand, and backward only scales them: one projection of four is saved.
    # Whether the weights are alike is read back in backward, which would stall a GPU.
    eager = (
        hidden.device.type == "cpu"
        and len(targets) > 0
        and torch.is_grad_enabled()
        and (hidden.requires_grad or weight.requires_grad)
    )
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, eager)  # type: ignore[no-untyped-call]
    return loss


def linear_cross_entropy_reference(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The same with full logits: the truth that tests compare with. Shapes as above."""
    logits = hidden @ weight.t()
    return torch.nn.functional.cross_entropy(
        logits.to(_precision(hidden)), targets, reduction="none"
    )
