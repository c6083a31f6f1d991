"""Start a kernel: compiled when first used, or compiled beforehand."""

from typing import Any, Literal

from seqvae.kernels.launch import Launch


def compiled(variant: str, arch: int) -> bool:
    """Whether a library with this variant's machine code for this architecture is loaded."""
    del variant, arch
    return False


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

    Args:
        path: which build of it.
        variant: its name in the ahead-of-time build, see ``Variant.name``.
        function: the ``triton.jit`` function; its constexpr parameters stand last.
        grid: number of programs, 1 to 3 axes.
        arguments: all parameters that are not constexpr, in order: tensors, ints, floats.
        constants: all constexpr parameters by name.
        launch: warps and stages.
    """
    del variant
    if path == "aot":
        raise NotImplementedError("no ahead-of-time library")
    function[grid](*arguments, **constants, num_warps=launch.warps, num_stages=launch.stages)
