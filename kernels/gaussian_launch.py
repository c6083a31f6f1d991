"""Start the Gaussian latent's kernels, and name them for the ahead-of-time build.

The launch tables count a row's dimensions D in ``size``: a program holds BLOCK_M rows of BLOCK_D >= D columns. For
``gaussian_latent_means`` it is the width of a group of dimensions.
"""

import functools
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from seqvae.kernels import gaussian_inference, gaussian_latent
from seqvae.kernels.launch import Launch, lookup, table
from seqvae.kernels.start import compiled, start
from seqvae.kernels.variant import Variant

Build = Literal["triton", "aot"]
# float64 is for gradient checks in the interpreter.
DTYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float64: "fp64",
}
WIDEST = 4096
KERNELS = {
    "gaussian_latent_forward": gaussian_latent.gaussian_latent_forward_kernel,
    "gaussian_latent_backward": gaussian_latent.gaussian_latent_backward_kernel,
    "gaussian_latent_means": gaussian_latent.gaussian_latent_means_kernel,
    "sample_latent": gaussian_inference.sample_latent_kernel,
    "kl_rows": gaussian_inference.kl_rows_kernel,
}
FORWARD, BACKWARD, MEANS, SAMPLE, KL_ROWS = KERNELS
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@dataclass(frozen=True)
class Plan:
    """A kernel with its constants: what a launch needs beside its arguments."""

    op: str
    name: str
    constants: dict[str, Any]
    launch: Launch

    def start(self, path: Build, programs: int, arguments: tuple[Any, ...]) -> None:
        """Start it."""
        kernel = KERNELS[self.op]
        start(path, self.name, kernel, (programs,), arguments, self.constants, self.launch)

    def tiles(self, rows: int) -> int:
        """Tiles of a matrix."""
        return -(-rows // int(self.constants["BLOCK_M"]))


def _width(dtype: str, dim: int) -> int:
    """Neighbours that a thread takes: 16 bytes where D allows, else a call's four normals, else one."""
    if dtype in ("bf16", "fp16") and dim % 8 == 0:
        return 8
    return 4 if dim % 4 == 0 else 1


@functools.cache
def _plan(
    op: str, dtype: str, dim: int, arch: int, aligned: bool, **switches: str | bool | int
) -> Plan:
    launch = lookup(op, dtype, dim, arch)
    width = _width(dtype, dim)
    constants = {
        **switches,
        "WIDTH": width,
        "ALIGNED": aligned,
        "FAST": not INTERPRETED,
        "BLOCK_M": launch.blocks["BLOCK_M"],
        "BLOCK_D": launch.blocks["BLOCK_D"],
    }
    name = f"{op}_{dtype}_d{launch.size}"
    for key, value in switches.items():
        if isinstance(value, str):
            name += f"_{value}"
        elif value and key != "ROUNDS":
            name += f"_{key.lower()}"
    if switches.get("ROUNDS", 10) != 10:
        name += f"_r{switches['ROUNDS']}"
    if width != _width(dtype, 8):
        name += f"_w{width}"
    return Plan(op, name if aligned else f"{name}_unaligned", constants, launch)


def plan(op: str, arch: int, *matrices: Tensor, **switches: str | bool | int) -> Plan:
    """The kernel for some [N, D] matrices, and how it is to be compiled.

    Args:
        op: one of KERNELS but the means.
        arch: compute capability, e.g. 90.
        matrices: what has strides of its own, the statistics first.
        switches: the kernel's own constants; their order is that of its name.

    Raises:
        KeyError: the launch table has no row for it.
    """
    dtype, dim = DTYPES[matrices[0].dtype], matrices[0].shape[1]
    width = _width(dtype, dim)
    aligned = all(_stride(matrix) % width == 0 for matrix in matrices)
    return _plan(op, dtype, dim, arch, aligned, **switches)


@functools.cache
def means_plan(width: int, arch: int) -> Plan:
    """Means over rows for groups of ``width`` dimensions."""
    launch = lookup(MEANS, "fp32", width, arch)
    return Plan(MEANS, f"{MEANS}_g{launch.size}", dict(launch.blocks), launch)


def is_compiled(plans: tuple[Plan, ...], arch: int) -> bool:
    """Whether a library with all of them is loaded."""
    return all(compiled(each.name, arch) for each in plans)


def _stride(matrix: Tensor) -> int:
    return matrix.stride(0) if len(matrix) > 1 else 0


def forward(
    path: Build,
    plans: tuple[Plan, ...],
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    *,
    offset_value: int,
    samples: int,
    noise_scale: float,
    clamp: tuple[float, float],
    rows_wanted: bool,
    row_nats: float,
    nats: float,
    width: int,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Start the forward kernels.

    ``plans`` are those of ``gaussian_latent_forward`` and, if its KL is "dimensions", of the means. The statistics are
    [N, D] with contiguous rows.

    Args:
        path: which build.
        plans: what to start.
        mean: [N, D].
        log_variance: [N, D].
        seed: int64, one element.
        offset: int64, one element, added to ``offset_value``.
        mask: bool [N], contiguous.
        offset_value: stream under the seed.
        samples: S.
        noise_scale: of z.
        clamp: bounds of the log-variance, if the plan says so.
        rows_wanted: whether "dimensions" also writes the KL of each row.
        row_nats: a row's KL is clamped from below.
        nats: a group's KL is clamped from below.
        width: dimensions in a group.

    Returns:
        z [S, N, D]; the KL of elements or rows; that of groups; what its gradient is multiplied with, [D].
    """
    main = plans[0]
    rows, dim = mean.shape
    dimensions = main.constants["KL"] == "dimensions"
    wide = torch.promote_types(mean.dtype, torch.float32)
    z = mean.new_empty((samples, rows, dim))
    kl = group_kl = scale = None
    programs = main.tiles(rows)
    # What is absent gets the address of something that is not.
    partial = counts = first = None
    if main.constants["KL"] == "elements":
        kl = mean.new_empty((rows, dim), dtype=wide)
    elif rows_wanted or not dimensions:
        kl = mean.new_empty(rows, dtype=wide)
    if dimensions:
        programs = min(programs, main.launch.blocks["PROGRAMS"])
        partial = mean.new_empty((programs, dim), dtype=wide)
        counts = mean.new_empty(programs, dtype=torch.float32)
    first = kl if kl is not None else partial
    main.start(
        path,
        programs,
        (
            *(mean, log_variance, seed if mask is None else mask, seed),
            *(seed if offset is None else offset, z, first),
            *(first if partial is None else partial, first if counts is None else counts),
            *(rows, dim, _stride(mean), _stride(log_variance), samples, offset_value),
            *(int(offset is not None), int(mask is not None), int(kl is not None)),
            *(noise_scale, *clamp, row_nats),
        ),
    )
    if partial is not None:
        group_kl = mean.new_empty(dim // width, dtype=wide)
        scale = mean.new_empty(dim, dtype=torch.float32)
        blocks = -(-(dim // width) // plans[1].constants["BLOCK_G"])
        plans[1].start(path, blocks, (partial, counts, group_kl, scale, programs, dim, width, nats))
    return z, kl, group_kl, scale


def backward(
    path: Build,
    main: Plan,
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    d_z: Tensor | None,
    d_kl: Tensor | None,
    d_dimensions: Tensor | None,
    scale: Tensor | None,
    d_mean: Tensor,
    d_log_variance: Tensor,
    *,
    offset_value: int,
    samples: int,
    noise_scale: float,
    clamp: tuple[float, float],
    row_nats: float,
) -> None:
    """Start the backward kernel; what it shares with ``forward`` is as there.

    Args:
        path: which build.
        main: what to start.
        mean: [N, D].
        log_variance: [N, D].
        seed: int64, one element.
        offset: int64, one element.
        mask: bool [N].
        d_z: [S, N, D], contiguous; None for zeros, as below.
        d_kl: [N, D] or [N], contiguous.
        d_dimensions: [D / width], contiguous.
        scale: [D] from ``forward``.
        d_mean: [N, D], where to write, rows contiguous.
        d_log_variance: [N, D], where to write.
        offset_value: stream under the seed.
        samples: S.
        noise_scale: of z.
        clamp: bounds of the log-variance.
        row_nats: clamp of a row's KL, if the plan says so.
    """
    rows, dim = mean.shape
    width = 1 if d_dimensions is None else dim // len(d_dimensions)
    main.start(
        path,
        main.tiles(rows),
        (
            *(mean, log_variance, seed if mask is None else mask, seed),
            *(seed if offset is None else offset, mean if d_z is None else d_z),
            *(seed if d_kl is None else d_kl, seed if d_dimensions is None else d_dimensions),
            *(seed if scale is None else scale, d_mean, d_log_variance),
            *(rows, dim, _stride(mean), _stride(log_variance)),
            *(_stride(d_mean), _stride(d_log_variance)),
            # No gradient of z: no sample to go through, and no noise to draw.
            *(0 if d_z is None else samples, offset_value, width),
            *(int(offset is not None), int(mask is not None)),
            *(int(d_kl is not None), int(d_dimensions is not None)),
            *(noise_scale, *clamp, row_nats),
        ),
    )


def sample_latent(
    path: Build,
    main: Plan,
    mean: Tensor,
    log_variance: Tensor,
    seed: Tensor,
    offset: Tensor | None,
    *,
    offset_value: int,
    samples: int,
    noise_scale: float,
) -> Tensor:
    """Start the kernel for z alone, [S, N, D]; arguments are those of ``forward``."""
    rows, dim = mean.shape
    z = mean.new_empty((samples, rows, dim))
    main.start(
        path,
        main.tiles(rows),
        (
            *(mean, log_variance, seed, seed if offset is None else offset, z),
            *(rows, dim, _stride(mean), _stride(log_variance), samples, offset_value),
            *(int(offset is not None), noise_scale),
        ),
    )
    return z


def kl_rows(path: Build, main: Plan, mean: Tensor, log_variance: Tensor, row_nats: float) -> Tensor:
    """Start the kernel for the rows' KL alone, [N]; arguments are those of ``forward``."""
    rows, dim = mean.shape
    kl = mean.new_empty(rows, dtype=torch.promote_types(mean.dtype, torch.float32))
    strides = _stride(mean), _stride(log_variance)
    main.start(
        path, main.tiles(rows), (mean, log_variance, kl, rows, dim, *strides, float(row_nats))
    )
    return kl


# Compiled when first used, not ahead of time: float16, 7 rounds, rows that do not begin on 16 bytes, several samples
# with a KL, gradients of z alone, clamped elements; with D in another range all but the first that _switches gives.
SHIPPED = (32, 64, 128)


def _switches(op: str) -> Iterator[dict[str, Any]]:
    last = {"MANY": False, "ROUNDS": 10}
    if op == FORWARD:
        for kl, clamp in itertools.product(("rows", "dimensions"), (False, True)):
            yield {"KL": kl, "CLAMP": clamp, **last}
        yield {"KL": "elements", "CLAMP": False, **last}
    elif op == BACKWARD:
        for free, clamp in itertools.product((False, True), repeat=2):
            yield {"KL": "reduced", "FREE": free, "CLAMP": clamp, **last}
        yield {"KL": "elements", "FREE": False, "CLAMP": False, **last}
    elif op == SAMPLE:
        yield last
        yield {**last, "MANY": True}
    else:
        yield {}


_INTEGERS = ("rows", "mean_stride", "log_variance_stride", "d_mean_stride", "offset_value")
_FLOATS = ("noise_scale", "low", "high", "nats")
_ALIGNED = ("mean", "log_variance", "z", "d_z", "d_mean", "d_log_variance")


def _signature(plan: Plan, dtype: str) -> dict[str, str]:
    kinds: dict[str, str] = dict.fromkeys(_ALIGNED, f"*{dtype}")
    kinds |= dict.fromkeys(("kl", "partial", "counts", "scale", "d_kl", "d_dimensions"), "*fp32")
    kinds |= {"mask": "*i1", "seed": "*i64", "offset": "*i64"}
    kinds |= dict.fromkeys(_INTEGERS, "i64") | {"d_log_variance_stride": "i64"}
    kinds |= dict.fromkeys(_FLOATS, "fp32") | dict.fromkeys(plan.constants, "constexpr")
    return {name: kinds.get(name, "i32") for name in KERNELS[plan.op].arg_names}


def _variant(plan: Plan, dtype: str, elements: int) -> Variant:
    function, signature = KERNELS[plan.op], _signature(plan, dtype)
    aligned = tuple(name for name in _ALIGNED if name in signature)
    return Variant(
        plan.op, plan.name, function, signature, plan.constants, aligned, plan.launch, elements
    )


def variants(arch: int) -> Iterator[Variant]:
    """What is compiled ahead of time, for rows that begin on 16 bytes: see SHIPPED for what is not."""
    for op in KERNELS:
        switches = list(_switches(op))
        for row in table(op) if op != MEANS else ():
            for dtype in ("bf16", "fp32"):
                if lookup(op, dtype, row.size, arch) is not row:
                    continue
                for each in switches if row.size in SHIPPED else switches[:1]:
                    made = _plan(op, dtype, row.size, arch, True, **each)
                    yield _variant(made, dtype, row.blocks["BLOCK_M"] * row.blocks["BLOCK_D"])
    for row in table(MEANS):
        if lookup(MEANS, "fp32", row.size, arch) is row:
            yield _variant(means_plan(row.size, arch), "fp32", math.prod(row.blocks.values()))
