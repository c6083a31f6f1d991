"""Start the prefix attention kernels, and name them for the ahead-of-time build.

What is in `prefix_attention.py` takes a whole sequence in one tile, what is in `prefix_attention_tiled.py` any
sequence. The launch tables, one a kernel and head dimension, count rows plus columns of a single tile in `size`,
and prefix and steps for the tiled kernels.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seqvae.kernels import attention_tiles, prefix_attention, prefix_attention_tiled
from seqvae.kernels.attention_parts import VALUES
from seqvae.kernels.launch import Launch, lookup, table
from seqvae.kernels.start import compiled, start
from seqvae.kernels.variant import Variant

Build = Literal["triton", "aot"]
DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
KERNELS = {
    "prefix_attention_forward": prefix_attention.forward_kernel,
    "prefix_attention_backward": prefix_attention.backward_kernel,
    "prefix_attention_tiled_forward": prefix_attention_tiled.forward_kernel,
    "prefix_attention_tiled_query": prefix_attention_tiled.query_kernel,
    "prefix_attention_tiled_key": prefix_attention_tiled.key_kernel,
}
SINGLE, TILED = tuple(KERNELS)[:2], tuple(KERNELS)[2:]
FLOAT32 = ("cosine", "sine", "logsumexp", "drop")


@functools.cache
def _absent(device: torch.device, dtype: torch.dtype) -> Tensor:
    # An address of the right type, never read; another type would compile the kernel again.
    return torch.zeros(1, dtype=dtype, device=device)


def _strides(x: Tensor | None) -> tuple[int, ...]:
    """The first three; 0 where the axis has one element, whose stride may be anything."""
    if x is None:
        return 0, 0, 0
    batch, heads, steps, _ = x.shape
    by_batch, by_head, by_step, _ = x.stride()
    return by_batch * (batch > 1), by_head * (heads > 1), by_step * (steps > 1)


class Inputs(NamedTuple):
    """What attention reads.

    Attributes:
        query: [B, heads, T, D], any strides but 1 for the last axis; so are the next four.
        key: [B, heads, T, D].
        value: [B, heads, T, D].
        prefix_key: [B, heads, P, D], or None.
        prefix_value: [B, heads, P, D], or None.
        lengths: int64 [B], or None.
        cosine: float32 [at least T, D / 2], contiguous, or None; so is the next.
        sine: as `cosine`.
        causal: whether a step sees only itself and earlier steps, and the prefix.
        arch: compute capability of the GPU, e.g. 90.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    prefix_key: Tensor | None
    prefix_value: Tensor | None
    lengths: Tensor | None
    cosine: Tensor | None
    sine: Tensor | None
    causal: bool
    arch: int

    @property
    def steps(self) -> int:
        """T."""
        return self.query.shape[2]

    @property
    def prefix(self) -> int:
        """P."""
        return 0 if self.prefix_key is None else self.prefix_key.shape[2]

    @property
    def pairs(self) -> int:
        """Batch rows times heads."""
        return self.query.shape[0] * self.query.shape[1]

    def tensors(self) -> tuple[Tensor, ...]:
        """Query to sine in the order of every kernel; what is absent is never read."""
        query, key, value, device = self.query, self.key, self.value, self.query.device
        return (
            query,
            key,
            value,
            key if self.prefix_key is None else self.prefix_key,
            value if self.prefix_value is None else self.prefix_value,
            _absent(device, torch.int64) if self.lengths is None else self.lengths,
            _absent(device, torch.float32) if self.cosine is None else self.cosine,
            _absent(device, torch.float32) if self.sine is None else self.sine,
        )

    def integers(self) -> tuple[int, ...]:
        """The strides of query, key, value, prefix key and prefix value, then what `VALUES` names."""
        read = (self.query, self.key, self.value, self.prefix_key, self.prefix_value)
        strides = [step for x in read for step in _strides(x)]
        padded, rotated = int(self.lengths is not None), int(self.cosine is not None)
        heads = self.query.shape[1]
        return *strides, self.steps, self.prefix, heads, int(self.causal), padded, rotated


@dataclass(frozen=True)
class Plan:
    """A kernel with its constants and its row of the launch table."""

    op: str
    name: str
    constants: dict[str, Any]
    launch: Launch

    def run(self, path: Build, programs: int, *arguments: Tensor | int) -> None:
        """Start it."""
        kernel = KERNELS[self.op]
        start(path, self.name, kernel, (programs,), arguments, self.constants, self.launch)


@functools.cache
def _plan_single(op: str, dtype: torch.dtype, head: int, rows: int, rest: int, arch: int) -> Plan:
    name = DTYPES.get(dtype, "fp64")
    launch = lookup(f"{op}_d{head}", name, 2 * rows + rest, arch)
    how = attention_tiles.precision(dtype.itemsize, rows)
    if launch.blocks != {"ROWS": rows, "REST": rest}:
        raise KeyError(f"{op}_d{head}: no row for a tile of {rows} rows and {rest} extra columns")
    constants = {**launch.blocks, "HEAD": head, "PRECISION": how}
    return Plan(op, f"{op}_{name}_d{head}_r{rows}_e{rest}", constants, launch)


@functools.cache
def _plan_tiled(op: str, dtype: torch.dtype, head: int, keys: int, rotary: bool, arch: int) -> Plan:
    name = DTYPES.get(dtype, "fp64")
    launch = lookup(f"{op}_d{head}", name, keys, arch)
    rows = launch.blocks["ROWS"]
    how = attention_tiles.precision(dtype.itemsize, rows)
    constants = {**launch.blocks, "HEAD": head, "ROTARY": rotary, "PRECISION": how}
    shape = f"r{rows}_c{launch.blocks['COLUMNS']}" + ("_rotary" if rotary else "")
    return Plan(op, f"{op}_{name}_d{head}_{shape}", constants, launch)


def plans(inputs: Inputs, *, tiled: bool, backward: bool) -> list[Plan]:
    """What one pass starts.

    Raises:
        KeyError: a launch table has no row for it.
    """
    dtype, head, arch = inputs.query.dtype, inputs.query.shape[3], inputs.arch
    if tiled:
        ops = ("query", "key") if backward else ("forward",)
        keys, rotary = inputs.prefix + inputs.steps, inputs.cosine is not None
        each = [f"prefix_attention_tiled_{op}" for op in ops]
        return [_plan_tiled(op, dtype, head, keys, rotary, arch) for op in each]
    size = dtype.itemsize
    found = attention_tiles.tile(inputs.steps, inputs.prefix, head, size, arch)
    if found is None:
        raise KeyError(f"no single tile for {inputs.steps} steps and a prefix of {inputs.prefix}")
    op = SINGLE[backward]
    return [_plan_single(op, dtype, head, *found, arch)]


def are_compiled(chosen: list[Plan], arch: int) -> bool:
    """Whether a library with all of these kernels is loaded."""
    return all(compiled(plan.name, arch) for plan in chosen)


def forward(
    path: Build,
    output: Tensor,
    logsumexp: Tensor | None,
    inputs: Inputs,
    chosen: list[Plan] | None = None,
) -> None:
    """Attend.

    Args:
        path: which build of the kernels.
        output: [B, T, heads, D] in memory; written.
        logsumexp: float32 [B, heads, T]; written by the tiled kernel, which is meant where it is given.
        inputs: D is one of `attention_tiles.HEADS`.
        chosen: what `plans` says, where the caller knows it.
    """
    if not output.numel():
        return
    (plan,) = chosen or plans(inputs, tiled=logsumexp is not None, backward=False)
    given: list[Tensor | int] = [*inputs.tensors(), *inputs.integers()]
    if logsumexp is None:
        plan.run(path, inputs.pairs, output, *given)
        return
    tiles = -(-inputs.steps // plan.constants["ROWS"])
    plan.run(path, inputs.pairs * tiles, output, logsumexp, *given)


def backward(
    path: Build,
    grads: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    grad: Tensor,
    saved: tuple[Tensor, Tensor] | None,
    inputs: Inputs,
    chosen: list[Plan] | None = None,
) -> None:
    """Compute all gradients.

    Args:
        path: which build of the kernels.
        grads: of query, key and value, [B, T, heads, D] in memory, and of prefix key and value, [B, heads, P, D];
            written.
        grad: of the output, [B, heads, T, D], any strides but 1 for the last axis.
        saved: output and logsumexp that the tiled forward pass left, which is meant where they are given.
        inputs: those of the forward pass.
        chosen: what `plans` says, where the caller knows it.
    """
    if not inputs.query.numel():
        for empty in grads:
            empty.zero_()
        return
    query_grad, *key_grads = grads
    chosen = chosen or plans(inputs, tiled=saved is not None, backward=True)
    given: list[Tensor | int] = [
        *inputs.tensors(),
        *_strides(grad),
        *inputs.integers(),
    ]
    if saved is None:
        chosen[0].run(path, inputs.pairs, *grads, grad, *given)
        return
    output, logsumexp = saved
    # rowsum(grad * output), which the first kernel leaves for the second.
    drop = torch.empty_like(logsumexp)
    by_query, by_key = chosen
    tiles = -(-inputs.steps // by_query.constants["ROWS"])
    by_query.run(path, inputs.pairs * tiles, query_grad, drop, grad, output, logsumexp, *given)
    tiles = -(-(inputs.prefix + inputs.steps) // by_key.constants["COLUMNS"])
    by_key.run(path, inputs.pairs * tiles, *key_grads, drop, grad, logsumexp, *given)


def _variant(plan: Plan, dtype: str) -> Variant:
    kernel = KERNELS[plan.op]
    signature, aligned = {}, []
    for name in kernel.arg_names:
        kind = "i32"
        if name in plan.constants:
            kind = "constexpr"
        elif name.endswith(("_batch", "_head", "_step")):
            # One batch row may be 2^31 numbers after another one.
            kind = "i64"
            aligned.append(name)
        elif name == "lengths":
            kind = "*i64"
        elif name not in VALUES:
            kind = "*fp32" if name in FLOAT32 else f"*{dtype}"
            if name not in ("logsumexp", "drop"):
                aligned.append(name)
        signature[name] = kind
    columns = plan.constants.get("COLUMNS", plan.constants["ROWS"])
    elements = plan.constants["ROWS"] * (columns + plan.constants.get("REST", 0))
    head, how = plan.constants["HEAD"], plan.constants["PRECISION"]
    return Variant(
        f"{plan.op}_d{head}",
        plan.name,
        kernel,
        signature,
        plan.constants,
        tuple(aligned),
        plan.launch,
        elements,
        tensor_cores=dtype != "fp32" or how != "ieee",
    )


def variants(arch: int) -> Iterator[Variant]:
    """Every single tile that is offered, and the tiled kernels with and without rotation.

    In float16 they are compiled when first used: training that is not in float32 takes bfloat16.
    """
    for dtype, name in DTYPES.items():
        for head in attention_tiles.HEADS if name != "fp16" else ():
            for tile in attention_tiles.tiles(head, dtype.itemsize, arch):
                for op in SINGLE:
                    yield _variant(_plan_single(op, dtype, head, *tile, arch), name)
            if not attention_tiles.is_tiled(1, 0, head, dtype.itemsize, arch):
                continue
            for op in TILED:
                for row in table(f"{op}_d{head}"):
                    for rotary in (False, True):
                        plan = _plan_tiled(op, dtype, head, row.size, rotary, arch)
                        if plan.launch == row:
                            yield _variant(plan, name)
