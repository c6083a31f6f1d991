"""Compile all variants in a few processes, and only those whose source, table row or compiler changed."""

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from seqvae.errors import UserError
from seqvae.kernels.aot import embed, registry
from seqvae.kernels.aot.compile import (
    CompileError,
    Kernel,
    compile_variant,
    isolate,
    kernel_from,
    key,
)
from seqvae.kernels.native.cuda import source_hash

INDEX = "kernels.json"
ARCHS = (80, 90)
# What Triton 3.7 knows beyond: the assembler in its wheel refuses others.
NEWER = (86, 89, 100, 103, 120, 121)

Progress = Callable[[int, int, str], None]


def build(
    folder: Path,
    archs: Sequence[int] = ARCHS,
    *,
    jobs: int = 2,
    modules: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Kernel]:
    """Write a cubin for every variant, ``kernels.json`` and ``cubins.inc`` into ``folder``.

    Two builds with the same Triton give identical files. What is already there and still right is kept.

    Args:
        folder: created if missing.
        archs: compute capabilities.
        jobs: processes.
        modules: modules to take variants from; None for all of ``kernels/``.
        names: variants to build, beside those that are already there and right; None for all.
        progress: called after each variant with the number done, the number of all, and its name.

    Returns:
        The rows of ``kernels.json`` that were asked for, by name and architecture.

    Raises:
        UserError: an unknown architecture or variant, or Triton is missing.
        CompileError: some variants do not compile; the message names all of them.
    """
    unknown = set(archs) - {*ARCHS, *NEWER}
    if unknown:
        raise UserError(f"--arch {min(unknown)}: known are {', '.join(map(str, (*ARCHS, *NEWER)))}")
    wanted = list(registry.everything(archs, modules))
    asked = {variant.name for _, _, variant in wanted} if names is None else set(names)
    missing = asked - {variant.name for _, _, variant in wanted}
    if missing:
        raise UserError(f"no variant {min(missing)!r}; --list shows all")
    folder.mkdir(parents=True, exist_ok=True)
    before = _existing(folder)
    done: dict[tuple[str, int], Kernel] = {}
    todo: list[tuple[str, int, str]] = []
    for module, arch, variant in wanted:
        old = before.get((variant.name, arch))
        if old is not None and old.key == key(variant, arch) and (folder / old.file).is_file():
            done[variant.name, arch] = old
        elif variant.name in asked:
            todo.append((module, arch, variant.name))
    failed = _compile(todo, folder, jobs, done, progress)
    if failed:
        raise CompileError("\n".join(sorted(failed)))
    kernels = [done[name] for name in sorted(done)]
    for stale in {row.file for row in before.values()} - {row.file for row in kernels}:
        (folder / stale).unlink(missing_ok=True)
    write(folder, kernels)
    return [kernel for kernel in kernels if kernel.name in asked]


def _compile(
    todo: Sequence[tuple[str, int, str]],
    folder: Path,
    jobs: int,
    done: dict[tuple[str, int], Kernel],
    progress: Progress | None,
) -> list[str]:
    failed: list[str] = []
    if not todo:
        return failed
    # A fresh interpreter: Triton reads its settings when it is imported, and a fork of a process that has threads may hang.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as cache,
        ProcessPoolExecutor(min(jobs, len(todo)), context, isolate, (cache,)) as pool,
    ):
        futures = {pool.submit(_task, *task, folder): task for task in todo}
        for count, future in enumerate(as_completed(futures), 1):
            module, arch, name = futures[future]
            error = future.exception()
            if error is None:
                done[name, arch] = future.result()
            else:
                known = isinstance(error, CompileError)
                failed.append(f"{module}: {error if known else f'{name} for sm_{arch}: {error}'}")
            if progress is not None:
                progress(count, len(todo), f"{name} sm_{arch}")
    return failed


def _task(module: str, arch: int, name: str, folder: Path) -> Kernel:
    return compile_variant(registry.variants(module, arch)[name], arch, folder)


def _existing(folder: Path) -> dict[tuple[str, int], Kernel]:
    try:
        rows = [kernel_from(row) for row in json.loads((folder / INDEX).read_text())["kernels"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # absent, or written by another version of this module: build anew
    return {(row.name, row.arch): row for row in rows}


def write(folder: Path, kernels: Sequence[Kernel]) -> None:
    """Write ``kernels.json`` and ``cubins.inc``."""
    import triton

    version, rows = triton.__version__, [kernel.json() for kernel in kernels]
    index = {"triton": version, "source": source_hash(), "kernels": rows}
    _write(folder / INDEX, json.dumps(index, indent=1) + "\n")
    _write(folder / embed.FILE, embed.table(kernels, folder))


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return  # an unchanged file does not make CMake rebuild
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
