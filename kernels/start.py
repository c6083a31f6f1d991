"""Start a kernel: compiled when first used, or compiled beforehand."""

import functools
from typing import Any, Literal

import torch

from seqvae.kernels.launch import Launch
from seqvae.kernels.native import cuda


def compiled(variant: str, arch: int) -> bool:
    """Whether a library with this variant's machine code for this architecture is loaded."""
    return cuda.find(variant, arch) is not None


def start(
    path: Literal["triton", "aot"],
    variant: str,
    function: Any,  # noqa: ANN401 (a triton.jit function)
    grid: tuple[int, ...],
    arguments: tuple[Any, ...],
    constants: dict[str, Any],
    launch: Launch,
) -> None:
    """Start ``function`` on the current stream of the tensors' device.

    Machine code compiled beforehand expects the alignment its variant states. Arguments that lack it, such as a tensor
    that begins inside another one, go to the just-in-time compiler, which makes code for them.

    Args:
        path: which build of it.
        variant: its name in the ahead-of-time build, see ``Variant.name``.
        function: the ``triton.jit`` function; its constexpr parameters stand last.
        grid: number of programs, 1 to 3 axes.
        arguments: all parameters that are not constexpr, in order: tensors, ints, floats.
        constants: all constexpr parameters by name.
        launch: warps and stages.

    Raises:
        LookupError: no loaded library has this variant for the tensors' GPU.
        LaunchError: the driver refuses the launch.
    """
    if path == "aot":
        try:
            _start_compiled(variant, grid, arguments)
            return
        except cuda.LaunchError as error:
            if error.status != cuda.MISALIGNED:
                raise
    function[grid](*arguments, **constants, num_warps=launch.warps, num_stages=launch.stages)


def _start_compiled(variant: str, grid: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    device = _device(arguments)
    kernel = _embedded(variant, device)
    # 0.1 us each; the public functions build objects, 2 us and more.
    stream = torch._C._cuda_getCurrentRawStream(device)
    if torch._C._cuda_getDevice() == device:
        kernel(grid, arguments, device, stream)
    else:
        with torch.cuda.device(device):
            kernel(grid, arguments, device, stream)


def _device(arguments: tuple[Any, ...]) -> int:
    for value in arguments:
        if isinstance(value, torch.Tensor):
            return value.get_device()
    raise TypeError("no argument is a tensor")


@functools.cache
def _embedded(variant: str, device: int) -> cuda.Kernel:
    major, minor = torch.cuda.get_device_capability(device)
    found = cuda.kernel(variant, 10 * major + minor)
    if found is None:
        raise LookupError(f"no loaded library has {variant} for sm_{major}{minor}")
    return found
