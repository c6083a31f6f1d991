"""The gate over every kernel of every launch table, as a file: registers, spills, shared memory, instructions.

    python -m benchmarks.gates

Compiles what changed, for sm_80 and sm_90, without a GPU; from nothing this takes minutes. Writes
benchmarks/results/gates.json and gates.md.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, ROOT, ledger, write_result
from seqvae.kernels.aot import build, gate, registry
from seqvae.kernels.aot.compile import Kernel

TARGET = (
    "every row of the launch tables on sm_80 and sm_90: 0 spills, 0 stack, shared memory and registers fit, "
    "tensor cores where promised, instructions per element within the stored budget"
)
HEAD = """\
# Machine code of the kernels

Written by `python -m benchmarks.gates` with Triton {triton}; nothing here needed a GPU. "SASS / element" is the length of the program
times its threads over the elements a program handles; a loop's body counts once. Budgets:
`kernels/gates/budgets.json`.

{count} kernels, {problems} problems.
"""


def cells(kernel: Kernel) -> list[str]:
    """A row of the table."""
    return [
        kernel.name.removeprefix(f"{kernel.op}_"),
        f"sm_{kernel.arch}",
        str(kernel.warps),
        str(kernel.registers),
        str(kernel.stack),
        str(kernel.spills),
        f"{kernel.shared / 1024:.1f}",
        str(kernel.tensor_cores),
        f"{kernel.per_element:.1f}",
    ]


COLUMNS = (
    "variant",
    "GPU",
    "warps",
    "registers",
    "stack",
    "spills",
    "shared KB",
    "tensor-core instr.",
    "SASS / element",
)


def markdown(kernels: Sequence[Kernel], problems: Sequence[str]) -> str:
    """The table, one section an operation, problems first."""
    import triton

    head = HEAD.format(triton=triton.__version__, count=len(kernels), problems=len(problems))
    lines = [head, *(f"- {problem}" for problem in problems)]
    sections: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        sections[kernel.op].append(kernel)
    for op in sorted(sections):
        lines += ["", f"## {op}", "", f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * 7]
        lines += [f"| {' | '.join(cells(kernel))} |" for kernel in sections[op]]
    return "\n".join(lines) + "\n"


def row(kernel: Kernel) -> dict[str, Any]:
    """What the result file holds of a kernel."""
    dropped = ("target", "entry", "scratch", "parameters", "constants", "file", "sha256", "key")
    kept = {name: value for name, value in kernel.json().items() if name not in dropped}
    return {**kept, "per_element": kernel.per_element}


def figure(kernels: Sequence[Kernel], problems: Sequence[str]) -> str:
    """One line for the ledger."""
    stack = max(kernel.stack for kernel in kernels)
    spills = max(kernel.spills or 0 for kernel in kernels)
    registers = max(kernel.registers for kernel in kernels)
    shared = max(kernel.shared for kernel in kernels) / 1024
    return (
        f"{len(kernels)} kernels: stack <= {stack} bytes, spills <= {spills}, registers <= {registers}, "
        f"shared memory <= {shared:.0f} KB; {len(problems)} problems"
    )


def main() -> int:
    """Measure and write; the exit code is 1 if anything fails the gate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "cubins", metavar="DIR")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    arguments = parser.parse_args()
    kernels = build.build(
        arguments.out,
        jobs=arguments.jobs,
        progress=lambda count, total, name: print(f"[{count}/{total}] {name}", flush=True),
    )
    problems = gate.check(kernels)
    for arch in build.ARCHS:
        problems += [f"no variant for {row} on sm_{arch}" for row in registry.uncovered(arch)]
    result = write_result(
        "gates",
        {"target": TARGET, "problems": problems, "kernels": [row(kernel) for kernel in kernels]},
    )
    (RESULTS / "gates.md").write_text(markdown(kernels, problems), encoding="utf-8")
    ledger(
        "B",
        [
            {
                "bar": "1",
                "what": "gates: machine code of every kernel",
                "target": TARGET,
                "figure": figure(kernels, problems),
                "met": not problems,
                "result_file": result,
            }
        ],
    )
    print("\n".join(problems) or figure(kernels, problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
