"""Write the table of cubins that ``kernels/native/cuda.cpp`` includes."""

from collections.abc import Sequence
from pathlib import Path

from seqvae.kernels.aot.compile import Kernel, Parameter
from seqvae.kernels.native.cuda import source_hash

FILE = "cubins.inc"
# One letter a parameter; a capital means that the value must be a multiple of 16.
LETTERS = {"i32": "i", "i64": "l", "fp32": "f", "fp64": "d"}
ALIGNMENT = 64
_HEAD = """\
// Written by `python -m seqvae.kernels.aot`.
// All cubins, one after another; each starts at a multiple of 64 bytes.
__asm__(
    ".section .rodata\\n"
    ".balign 64\\n"
    ".global seqvae_cubins\\n"
    ".hidden seqvae_cubins\\n"
    "seqvae_cubins:\\n"
"""


def letter(parameter: Parameter) -> str:
    """How a parameter is passed: p pointer, i int32, l int64, f float, d double."""
    found = "p" if parameter.type.startswith("*") else LETTERS[parameter.type]
    return found.upper() if parameter.aligned else found


def table(kernels: Sequence[Kernel], folder: Path) -> str:
    """C++ that embeds the cubins and describes each, sorted by name and architecture.

    Args:
        kernels: what ``folder`` holds, sorted by name and architecture.
        folder: of the cubins; the assembler finds them on its include path, so no path is written.
    """
    lines, rows, offset = [], [], 0
    for kernel in kernels:
        size = (folder / kernel.file).stat().st_size
        lines.append(f'    ".balign {ALIGNMENT}\\n.incbin \\"{kernel.file}\\"\\n"\n')
        letters = "".join(letter(parameter) for parameter in kernel.parameters)
        constants = "".join(f"{name}={value};" for name, value in kernel.constants.items())
        exact = "true" if kernel.target.endswith("a") else "false"
        rows.append(
            f'    {{"{kernel.name}", "{kernel.entry}", "{letters}", "{constants}", {kernel.arch}, {exact}, '
            f"{32 * kernel.warps}u, {kernel.shared}u, {kernel.scratch}, {offset}u, {size}u}},\n"
        )
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    return (
        f'{_HEAD}{"".join(lines)}    ".previous\\n");\n'
        f'static const char kSource[] = "{source_hash()}";\n'
        f"static const Cubin kCubins[] = {{\n{''.join(rows)}}};\n"
    )
