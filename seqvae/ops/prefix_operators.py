"""Prefix attention as operators of torch: opaque to compilers, differentiable, and choosing their kernels when they run."""

import functools
import os
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqvae.ops.attention_reference import (
    attention_reference,
    gradients_reference,
    rotated,
    weights_reference,
)
from seqvae.ops.dispatch import Path, forced, record
from seqvae.ops.library import LIBRARY, define

# query, key, value, prefix_key, prefix_value, lengths, cosine, sine
Tensors = tuple[
    Tensor,
    Tensor,
    Tensor,
    Tensor | None,
    Tensor | None,
    Tensor | None,
    Tensor | None,
    Tensor | None,
]
_TENSORS = (
    "Tensor query, Tensor key, Tensor value, Tensor? prefix_key, Tensor? prefix_value, "
    "Tensor? lengths, Tensor? cosine, Tensor? sine"
)


def interpreting() -> bool:
    """Whether Triton's interpreter is to run the kernels on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1" and forced() == "triton"


@functools.cache
def _capability(device: torch.device) -> int:
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def architecture(device: torch.device) -> int:
    """Compute capability, e.g. 90; for a CPU that of the kernels it interprets."""
    if device.type != "cuda":
        return 90
    if torch.compiler.is_compiling():
        # The compiler makes a constant of this one, and would trace into a cached function.
        properties = torch.cuda.get_device_properties(device)
        return 10 * int(properties.major) + int(properties.minor)
    return _capability(device)


@functools.cache
def _kernels() -> ModuleType | None:
    try:
        from seqvae.kernels import prefix_attention_launch
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        return None
    return prefix_attention_launch


def _rows(x: Tensor | None) -> Tensor | None:
    return x if x is None or x.stride(-1) == 1 else x.contiguous()


def _inputs(kernels: ModuleType, tensors: Tensors, causal: bool) -> Any:  # noqa: ANN401
    *rows, lengths, cosine, sine = tensors
    return kernels.Inputs(
        *(_rows(x) for x in rows),
        None if lengths is None else lengths.to(torch.int64),
        *(None if table is None else table.float().contiguous() for table in (cosine, sine)),
        causal=causal,
        arch=architecture(tensors[0].device),
    )


class _Choice(NamedTuple):
    """A path, why, and for the kernels what to start on what."""

    path: Path
    reason: str
    plans: Any = None
    inputs: Any = None


def _choose(tensors: Tensors, causal: bool, tiled: bool, backward: bool) -> _Choice:
    asked, device = forced(), tensors[0].device
    if asked == "reference":
        return _Choice("reference", "asked for")
    if device.type != "cuda" and not interpreting():
        return _Choice("reference", f"no kernel for {device.type}")
    kernels = _kernels()
    if kernels is None:
        return _Choice("reference", "triton is not installed")
    if asked not in (None, "triton", "aot"):
        return _Choice("reference", f"there is no {asked} behind the operator")
    inputs = _inputs(kernels, tensors, causal)
    try:
        plans = kernels.plans(inputs, tiled=tiled, backward=backward)
    except KeyError as error:
        return _Choice("reference", str(error.args[0]))
    how = "tiles" if tiled else "one tile"
    interpreted = device.type != "cuda"
    if asked != "triton" and not interpreted and kernels.are_compiled(plans, inputs.arch):
        return _Choice("aot", f"{how}, compiled for sm_{inputs.arch}", plans, inputs)
    if asked == "aot":
        return _Choice("reference", f"no library with this kernel for sm_{inputs.arch}")
    where = "interpreted" if interpreted else f"sm_{inputs.arch}"
    return _Choice("triton", f"{how}, {where}", plans, inputs)


def _by_steps(like: Tensor) -> Tensor:
    """An empty [B, heads, T, D] whose heads lie side by side, so that joining them is free."""
    batch, heads, steps, width = like.shape
    return like.new_empty(batch, steps, heads, width).transpose(1, 2)


def _rotary(tensors: Tensors) -> tuple[Tensor, Tensor] | None:
    cosine, sine = tensors[6:]
    return None if cosine is None or sine is None else (cosine, sine)


def _empty_output(query: Tensor, tiled: bool) -> tuple[Tensor, Tensor]:
    precision = torch.promote_types(query.dtype, torch.float32)
    # A single tile leaves no logsumexp: its backward pass computes the softmax again.
    shape = query.shape[:3] if tiled else (0,)
    return _by_steps(query), query.new_empty(shape, dtype=precision)


def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    tensors: Tensors = arguments[:8]
    causal, tiled = arguments[8:]
    path, reason, plans, inputs = _choose(tensors, causal, tiled, backward=False)
    record("prefix_attention", path, reason)
    output, logsumexp = _empty_output(tensors[0], tiled)
    if path != "reference":
        kernels = _kernels()
        assert kernels is not None
        with torch.cuda.device_of(output):  # type: ignore[no-untyped-call]
            kernels.forward(path, output, logsumexp if tiled else None, inputs, plans)
        return output, logsumexp
    query, key, _, prefix_key, _, lengths, *_ = tensors
    rotary = _rotary(tensors)
    output.copy_(attention_reference(*tensors[:5], causal=causal, lengths=lengths, rotary=rotary))
    if tiled:
        if rotary is not None:
            query, key = rotated(query, key, *rotary)
        prefix = 0 if prefix_key is None else prefix_key.shape[2]
        key = key if prefix_key is None else torch.cat([prefix_key, key], 2)
        _, logsumexp = weights_reference(query, key, prefix, causal, lengths)
    return output, logsumexp


def _empty_grads(tensors: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    query, key, value, prefix_key, prefix_value = tensors[:5]
    batch, heads, _, width = key.shape

    def prefix_grad(x: Tensor | None) -> Tensor:
        return key.new_empty(batch, heads, 0 if x is None else x.shape[2], width)

    return (
        _by_steps(query),
        _by_steps(key),
        _by_steps(value),
        prefix_grad(prefix_key),
        prefix_grad(prefix_value),
    )


def _backward(
    grad: Tensor,
    output: Tensor | None,
    logsumexp: Tensor | None,
    *arguments: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    tensors: Tensors = arguments[:8]
    causal: bool = arguments[8]
    saved = None if output is None or logsumexp is None else (output, logsumexp)
    path, reason, plans, inputs = _choose(tensors, causal, saved is not None, backward=True)
    record("prefix_attention_backward", path, reason)
    grads = _empty_grads(tensors)
    if path != "reference":
        kernels = _kernels()
        assert kernels is not None
        with torch.cuda.device_of(grad):  # type: ignore[no-untyped-call]
            kernels.backward(path, grads, _rows(grad), saved, inputs, plans)
        return grads
    found = gradients_reference(grad, *tensors[:5], causal, tensors[5], _rotary(tensors))
    for empty, right in zip(grads, found, strict=True):
        empty.copy_(right)
    return grads


def _fake_forward(query: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    return _empty_output(query, rest[-1])


def _fake_backward(
    grad: Tensor,
    output: Tensor | None,
    logsumexp: Tensor | None,
    *arguments: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    del grad, output, logsumexp
    return _empty_grads(arguments[:8])


forward_operator = define(
    f"prefix_attention_forward({_TENSORS}, bool causal, bool tiled) -> (Tensor, Tensor)",
    cpu=_forward,
    cuda=_forward,
    fake=_fake_forward,
)
backward_operator = define(
    f"prefix_attention_backward(Tensor grad, Tensor? output, Tensor? logsumexp, {_TENSORS}, bool causal) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    cpu=_backward,
    cuda=_backward,
    fake=_fake_backward,
)


def _folded(
    operator: Any,  # noqa: ANN401
    info: Any,  # noqa: ANN401
    in_dims: tuple[int | None, ...],
    arguments: tuple[Any, ...],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The batching rule: what is mapped over goes into the batch."""
    tables = slice(-4, -2) if operator is forward_operator else slice(-3, -1)
    if any(at is not None for at in in_dims[tables]):
        raise ValueError("prefix_attention under vmap: the rotary tables cannot be mapped over")

    def fold(x: Any, at: int | None) -> Any:  # noqa: ANN401
        # A single tile has no logsumexp: nothing, once for all.
        if not isinstance(x, Tensor) or (at is None and not x.numel()):
            return x
        mapped = x.expand(info.batch_size, *x.shape) if at is None else x.movedim(at, 0)
        return mapped.reshape(-1, *mapped.shape[2:])

    parts = [fold(x, at) for x, at in zip(arguments, in_dims, strict=True)]
    parts[tables] = arguments[tables]
    found = operator(*parts)
    each = tuple(
        x.unflatten(0, (info.batch_size, -1))
        if x.dim() > 1
        else x.expand(info.batch_size, *x.shape)
        for x in found
    )
    return each, (0,) * len(each)


for _operator in (forward_operator, backward_operator):

    def _batched(
        info: Any,  # noqa: ANN401
        in_dims: tuple[int | None, ...],
        *arguments: Any,  # noqa: ANN401
        operator: Any = _operator,  # noqa: ANN401
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _folded(operator, info, in_dims, arguments)

    torch.library.register_vmap(_operator, _batched, lib=LIBRARY)


class PrefixAttention(torch.autograd.Function):
    """Keeps the inputs for the backward pass, and by tiles the output and its logsumexp."""

    generate_vmap_rule = True

    @staticmethod
    # Parameter by parameter: the compiler counts them.
    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        prefix_key: Tensor | None,
        prefix_value: Tensor | None,
        lengths: Tensor | None,
        cosine: Tensor | None,
        sine: Tensor | None,
        causal: bool,
        tiled: bool,
    ) -> tuple[Tensor, Tensor]:
        """Take what `prefix_attention_forward` takes."""
        rows = (query, key, value, prefix_key, prefix_value)
        output, logsumexp = forward_operator(*rows, lengths, cosine, sine, causal, tiled)
        return output, logsumexp

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
        """Keep what backward needs."""
        *tensors, ctx.causal, tiled = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*tensors, *(output if tiled else (None, None)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Differentiate with respect to queries, keys and values."""
        *tensors, output, logsumexp = ctx.saved_tensors
        *grads, prefix_key, prefix_value = backward_operator(
            grad, output, logsumexp, *tensors, ctx.causal
        )
        if tensors[3] is None:
            prefix_key = prefix_value = None
        return *grads, prefix_key, prefix_value, None, None, None, None, None


def fused_attention(tensors: Tensors, causal: bool, tiled: bool) -> Tensor:
    """Attend by one tile or by tiles; shapes as in `prefix_attention`."""
    output: Tensor = PrefixAttention.apply(*tensors, causal, tiled)[0]  # type: ignore[no-untyped-call]
    return output
