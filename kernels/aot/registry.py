"""What is compiled ahead of time: the variants of every module of kernels/ that names any."""

import ast
import functools
import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqvae.errors import UserError
from seqvae.kernels import launch
from seqvae.kernels.variant import Variant

FOLDER = Path(__file__).parents[1]
# Triton's names of the types a parameter may have. Pointers may point to any of them but "i32".
SCALARS = ("i32", "i64", "fp32", "fp64")
DTYPES = ("bf16", "fp16", "fp32")


def modules(folder: Path = FOLDER) -> tuple[str, ...]:
    """Import paths of the files in ``folder`` that define ``variants``, found without importing them."""
    return tuple(
        f"seqvae.kernels.{path.stem}" for path in sorted(folder.glob("*.py")) if _names(path)
    )


def _names(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "variants" for node in tree.body)


def entry_kernels(folder: Path = FOLDER) -> set[tuple[str, str]]:
    """Module and name of the ``triton.jit`` functions that no other one calls: the kernels."""
    found: set[tuple[str, str]] = set()
    called: set[str] = set()
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            if not any("jit" in ast.unparse(decorator) for decorator in node.decorator_list):
                continue
            found.add((f"seqvae.kernels.{path.stem}", node.name))
            calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
            called |= {ast.unparse(name).rpartition(".")[2] for name in calls}
    return {kernel for kernel in found if kernel[1] not in called}


@functools.cache
def variants(module: str, arch: int) -> dict[str, Variant]:
    """All variants of a module for an architecture, by name, each checked.

    Args:
        module: import path of a module with ``variants(arch)``.
        arch: compute capability, e.g. 90.

    Raises:
        UserError: Triton is missing or interprets.
        ValueError: a variant contradicts its function; the message names it.
    """
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        raise UserError("TRITON_INTERPRET=1: an interpreter compiles nothing; unset it")
    try:
        source = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise UserError(
            "triton is not installed: pip install 'seqvae[kernels]' (Linux); compiling needs no GPU"
        ) from None
    found: dict[str, Variant] = {}
    for variant in source.variants(arch):
        problem = wrong(variant)
        if variant.name in found:
            problem = "another variant has this name"
        if problem:
            raise ValueError(f"{module}: variant {variant.name!r}: {problem}")
        found[variant.name] = variant
    return found


def wrong(variant: Variant) -> str | None:
    """What a variant gets wrong about its function, or None."""
    names = list(variant.function.arg_names)
    constant = [name for name, kind in variant.signature.items() if kind == "constexpr"]
    runtime = [name for name in names if name not in constant]
    if not variant.name.isidentifier():
        return "the name is no C identifier"
    if list(variant.signature) != names:
        return f"its signature has {list(variant.signature)}, the function {names}"
    if names[len(runtime) :] != constant:
        return "constexpr parameters must stand last"
    if set(variant.constants) != set(constant):
        return f"it gives constants {sorted(variant.constants)}, the function takes {constant}"
    if bad := [kind for name in runtime if not _known(kind := variant.signature[name])]:
        return f"unknown parameter type {bad[0]!r}"
    if bad := [name for name in variant.aligned if name not in runtime]:
        return f"aligned parameter {bad[0]!r} is not a runtime parameter"
    if variant.elements < 1:
        return "elements must be at least 1"
    return None


def _known(kind: str) -> bool:
    return kind.startswith("*") or kind in SCALARS


def everything(
    archs: Sequence[int], names: Sequence[str] | None = None
) -> Iterator[tuple[str, int, Variant]]:
    """Module, architecture and variant of everything there is to compile.

    Args:
        archs: compute capabilities.
        names: modules; None for all.

    Raises:
        ValueError: two modules have a variant of one name, or there is none at all.
    """
    owner: dict[tuple[str, int], str] = {}
    for module in modules() if names is None else names:
        for arch in archs:
            for variant in variants(module, arch).values():
                other = owner.setdefault((variant.name, arch), module)
                if other != module:
                    raise ValueError(f"variant {variant.name!r} is in both {other} and {module}")
                yield module, arch, variant
    if not owner:
        raise ValueError("no module of kernels/ defines variants(arch)")


def uncovered(arch: int, names: Sequence[str] | None = None) -> list[str]:
    """Rows of the launch tables that serve ``arch`` but no variant uses: their kernels would not be shipped."""
    used = [(variant.op, variant.launch) for _, _, variant in everything([arch], names)]
    rows = []
    for path in sorted(launch.FOLDER.glob("*.json")):
        for row in launch.table(path.stem):
            dtypes = DTYPES if row.dtype == "*" else (row.dtype,)
            serves = row.arch <= arch and any(
                launch.lookup(path.stem, dtype, row.size, arch) == row for dtype in dtypes
            )
            if serves and (path.stem, row) not in used:
                rows.append(f"{path.stem}: size <= {row.size}, {row.dtype}, sm_{row.arch}")
    return rows
