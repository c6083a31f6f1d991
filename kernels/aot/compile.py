"""Compile one variant to a cubin, without a GPU."""

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqvae.kernels.aot.machine_code import inspect
from seqvae.kernels.variant import Variant

# Changes when the same source would give other files.
FORMAT = 1
DIVISIBLE = [["tt.divisibility", 16]]
# Variables that change what Triton and its assembler emit. The build must not depend on them.
_FOREIGN = re.compile(r"TRITON_|LLVM_|MLIR_|NVPTX_|DISABLE_|USE_IR_LOC|ALLOW_LHS_TMEM")


class CompileError(Exception):
    """A variant does not compile; the message names it."""


@dataclass(frozen=True)
class Parameter:
    """A runtime parameter: its name, Triton's type, and whether it must be a multiple of 16."""

    name: str
    type: str
    aligned: bool


@dataclass(frozen=True)
class Kernel:
    """One compiled variant: a row of ``kernels.json``.

    Attributes:
        name: of the variant.
        op: operation.
        arch: compute capability it was compiled for, e.g. 90.
        target: what the assembler calls it; code for a name that ends in "a" runs on exactly this architecture.
        entry: symbol of the kernel in the cubin.
        dtype: of its first floating-point pointer.
        warps: per program.
        stages: of the software pipeline.
        shared: bytes of dynamic shared memory.
        scratch: pointers that Triton appends to the parameters; null, since no kernel here asks for memory.
        parameters: runtime parameters in order.
        constants: constexpr parameters.
        elements: elements a program handles.
        wants_tensor_cores: whether the variant says so.
        registers: per thread.
        stack: bytes per thread.
        instructions: see ``MachineCode``.
        tensor_cores: see ``MachineCode``.
        spills: see ``MachineCode``.
        file: cubin beside ``kernels.json``.
        sha256: of the cubin.
        key: of everything the cubin depends on.
    """

    name: str
    op: str
    arch: int
    target: str
    entry: str
    dtype: str
    warps: int
    stages: int
    shared: int
    scratch: int
    parameters: tuple[Parameter, ...]
    constants: dict[str, Any]
    elements: int
    wants_tensor_cores: bool
    registers: int
    stack: int
    instructions: int | None
    tensor_cores: int | None
    spills: int | None
    file: str
    sha256: str
    key: str

    @property
    def per_element(self) -> float | None:
        """Instructions that a thread's share of the program costs per element, or None where unknown."""
        if self.instructions is None:
            return None
        return self.instructions * 32 * self.warps / self.elements

    def json(self) -> dict[str, Any]:
        """The row as JSON types."""
        return asdict(self)


def kernel_from(row: dict[str, Any]) -> Kernel:
    """Rebuild a row read from ``kernels.json``.

    Raises:
        TypeError: it has other fields.
    """
    parameters = tuple(Parameter(**parameter) for parameter in row["parameters"])
    return Kernel(**{**row, "parameters": parameters})


def parameters(variant: Variant) -> tuple[Parameter, ...]:
    """The runtime parameters of a variant, in order."""
    return tuple(
        Parameter(name, kind, name in variant.aligned)
        for name, kind in variant.signature.items()
        if kind != "constexpr"
    )


def key(variant: Variant, arch: int) -> str:
    """Hash of everything that a cubin depends on: source, types, constants, launch, compiler."""
    import triton

    parts = (
        FORMAT,
        triton.__version__,
        arch,
        variant.function.cache_key,
        variant.name,
        variant.op,
        sorted(variant.signature.items()),
        sorted((name, str(value)) for name, value in variant.constants.items()),
        variant.aligned,
        variant.launch.warps,
        variant.launch.stages,
        variant.elements,
        variant.tensor_cores,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def isolate(cache: str) -> None:
    """Make this process compile the same bytes on every machine; call it before Triton is imported.

    Args:
        cache: an empty folder for Triton's own cache. A shared one may hold code with line information, which makes
            cubins three times larger and holds paths.
    """
    for name in [name for name in os.environ if _FOREIGN.match(name)]:
        del os.environ[name]
    os.environ["TRITON_CACHE_DIR"] = cache
    os.environ["TRITON_DISABLE_LINE_INFO"] = "1"


def compile_variant(variant: Variant, arch: int, folder: Path) -> Kernel:
    """Compile a variant for an architecture and write ``NAME_smARCH.cubin`` into ``folder``.

    Raises:
        CompileError: it does not compile, or needs what the launcher cannot give.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    where = f"{variant.name} for sm_{arch}"
    names = list(variant.signature)
    attributes = {(names.index(name),): DIVISIBLE for name in variant.aligned}
    source = ASTSource(variant.function, variant.signature, variant.constants, attributes)
    options = {"num_warps": variant.launch.warps, "num_stages": variant.launch.stages}
    try:
        compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    except Exception as error:
        raise CompileError(f"{where}: {type(error).__name__}: {error}") from error
    metadata = compiled.metadata
    for need in ("global_scratch_size", "profile_scratch_size"):
        if getattr(metadata, need, 0):
            raise CompileError(f"{where}: it needs {need}, which the launcher does not provide")
    if getattr(metadata, "num_ctas", 1) != 1:
        raise CompileError(f"{where}: clusters of programs are not launched")
    ptx: str = compiled.asm["ptx"]
    runtime = parameters(variant)
    scratch = len(re.findall(r"\.param \.[^\n]*_param_\d+", ptx.partition(")\n")[0])) - len(runtime)
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    if target is None or scratch < 0:
        raise CompileError(f"{where}: its PTX has another parameter list than its signature")
    cubin: bytes = compiled.asm["cubin"]
    path = folder / f"{variant.name}_sm{arch}.cubin"
    path.write_bytes(cubin)
    code = inspect(path)
    floats = (kind[1:] for kind in variant.signature.values() if kind[:2] in ("*f", "*b"))
    return Kernel(
        name=variant.name,
        op=variant.op,
        arch=arch,
        target=target[1],
        entry=metadata.name,
        dtype=next(floats, "none"),
        warps=metadata.num_warps,
        stages=variant.launch.stages,
        shared=metadata.shared,
        scratch=scratch,
        parameters=runtime,
        constants={name: _plain(value) for name, value in variant.constants.items()},
        elements=variant.elements,
        wants_tensor_cores=variant.tensor_cores,
        registers=code.registers,
        stack=code.stack,
        instructions=code.instructions,
        tensor_cores=code.tensor_cores,
        spills=code.spills,
        file=path.name,
        sha256=hashlib.sha256(cubin).hexdigest(),
        key=key(variant, arch),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
