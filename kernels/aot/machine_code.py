"""What a cubin tells about itself: registers, stack, instructions. Read with the tools in Triton's wheel."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Matrix-multiply instructions of Ampere, Hopper and Blackwell.
TENSOR_CORES = ("HMMA", "HGMMA", "IMMA", "IGMMA", "QGMMA", "BGMMA", "DMMA", "UTCHMMA", "UTCQMMA")
# A spilled register is stored to and loaded from thread-local memory.
SPILLS = ("LDL", "STL")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)([^;]*);")
_RESOURCE = re.compile(r"\b(REG|STACK|SHARED|LOCAL):(\d+)")


@dataclass(frozen=True)
class MachineCode:
    """Static facts about one kernel.

    Attributes:
        registers: per thread.
        stack: bytes per thread, spilled registers included.
        shared: bytes of statically allocated shared memory.
        instructions: length of the program without padding; a loop's body counts once. None where this Triton's
            disassembler does not know the architecture (100 and newer).
        tensor_cores: instructions among them that multiply matrices.
        spills: instructions among them that touch thread-local memory.
    """

    registers: int
    stack: int
    shared: int
    instructions: int | None
    tensor_cores: int | None
    spills: int | None


def _tool(name: str) -> Path:
    import triton.backends.nvidia as backend

    return Path(backend.__file__).with_name("bin") / name


def _run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(_tool(name)), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def opcodes(listing: str) -> Counter[str]:
    """Count the instructions of a disassembly by opcode, without padding.

    A kernel ends with a branch to itself and NOPs up to a multiple of 128 bytes: both are never executed.
    """
    found: Counter[str] = Counter()
    label = ""
    for line in listing.splitlines():
        if line.startswith(".L"):
            label = line.rstrip(":")
            continue
        match = _INSTRUCTION.search(line)
        if match is None:
            continue
        opcode, operands = match.groups()
        itself = opcode == "BRA" and f"({label})" in operands and bool(label)
        if opcode != "NOP" and not itself:
            found[opcode] += 1
        label = ""
    return found


def inspect(cubin: Path) -> MachineCode:
    """Read a cubin with one kernel in it.

    Raises:
        RuntimeError: the tools cannot read it.
    """
    usage = _run("cuobjdump", "--dump-resource-usage", str(cubin))
    sizes = {name: int(value) for name, value in _RESOURCE.findall(usage)}
    if "REG" not in sizes:
        raise RuntimeError(f"cuobjdump reads no resource usage from {cubin.name}")
    listing = opcodes(_run("nvdisasm", "-c", "-ndf", str(cubin)))
    known = bool(listing)
    return MachineCode(
        registers=sizes["REG"],
        # LOCAL is thread-local memory outside the stack frame; both mean traffic nobody asked for.
        stack=sizes["STACK"] + sizes["LOCAL"],
        shared=sizes["SHARED"],
        instructions=listing.total() if known else None,
        tensor_cores=sum(listing[name] for name in TENSOR_CORES) if known else None,
        spills=sum(listing[name] for name in SPILLS) if known else None,
    )
