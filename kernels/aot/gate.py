"""The gate: machine code within hard limits, and no worse than the stored budgets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqvae.errors import UserError
from seqvae.kernels.aot.compile import Kernel

BUDGETS = Path(__file__).parents[1] / "gates" / "budgets.json"
# Bytes of shared memory a program may use (CUDA C++ programming guide, technical specifications per capability).
SHARED = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 103: 227, 120: 99, 121: 99}
REGISTERS = 255
# Warps take registers in units of 256: 8 a thread. Less than that changes nothing.
REGISTER_UNIT = 8
# A rewording of a kernel moves a few instructions; more than this is a change to look at.
TOLERANCE = 1.02
UPDATE = "`python -m seqvae.kernels.aot --update-budgets`"
ACCEPT = f"accept it with {UPDATE}"


@dataclass(frozen=True)
class Budget:
    """What a kernel may cost.

    Attributes:
        registers: per thread.
        shared: bytes.
        per_element: SASS instructions per element.
    """

    registers: int
    shared: int
    per_element: float


def of(kernel: Kernel) -> Budget | None:
    """What a kernel costs now, or None where its instructions cannot be counted."""
    if kernel.per_element is None:
        return None
    return Budget(kernel.registers, kernel.shared, round(kernel.per_element, 3))


def label(kernel: Kernel) -> str:
    """How the budgets and the messages call a kernel."""
    return f"{kernel.name}_sm{kernel.arch}"


def limits(kernel: Kernel) -> list[str]:
    """What breaks a hard limit, whatever the compiler's version."""
    name, problems = label(kernel), []
    if kernel.stack or kernel.spills:
        problems.append(
            f"{name}: {kernel.stack} bytes of stack and {kernel.spills} spilling instructions; "
            "take a smaller block or more warps in the launch table"
        )
    if kernel.registers > REGISTERS:
        problems.append(f"{name}: {kernel.registers} registers, a thread has {REGISTERS}")
    if kernel.shared > SHARED[kernel.arch] * 1024:
        problems.append(
            f"{name}: {kernel.shared / 1024:.0f} KB of shared memory, sm_{kernel.arch} has "
            f"{SHARED[kernel.arch]} KB; take a smaller block or fewer stages in the launch table"
        )
    # 65,536 registers an SM: more would not launch at all.
    unit = -(-kernel.registers // REGISTER_UNIT) * REGISTER_UNIT
    if unit * 32 * kernel.warps > 65536:
        problems.append(f"{name}: {kernel.warps} warps of {kernel.registers} registers do not fit")
    if kernel.wants_tensor_cores and kernel.tensor_cores == 0:
        problems.append(f"{name}: no tensor-core instruction, the variant promises them")
    return problems


def compare(kernel: Kernel, budget: Budget) -> list[str]:
    """What got worse than the budget."""
    now, problems = of(kernel), []
    if now is None:
        return []
    if -(-now.registers // REGISTER_UNIT) > -(-budget.registers // REGISTER_UNIT):
        problems.append(f"registers {budget.registers} -> {now.registers}")
    if now.shared > budget.shared:
        problems.append(f"shared memory {budget.shared} -> {now.shared} bytes")
    if now.per_element > budget.per_element * TOLERANCE:
        problems.append(f"instructions per element {budget.per_element} -> {now.per_element}")
    return [f"{label(kernel)}: {problem}; {ACCEPT}" for problem in problems]


def load(path: Path = BUDGETS) -> tuple[str, dict[str, Budget]]:
    """The Triton version the budgets belong to, and the budgets by label.

    Raises:
        UserError: there are none.
    """
    if not path.is_file():
        raise UserError(f"no budgets in {path.parent.name}/{path.name}; write them with {UPDATE}")
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["triton"], {name: Budget(**row) for name, row in stored["kernels"].items()}


def check(kernels: Sequence[Kernel], path: Path = BUDGETS) -> list[str]:
    """Everything that is wrong with some kernels, one line each; empty when all pass.

    With another Triton than the one the budgets were made with only the hard limits hold: its code differs.

    Args:
        kernels: what to check; budgets of kernels that are not among them are ignored.
        path: stored budgets.
    """
    import triton

    problems = [problem for kernel in kernels for problem in limits(kernel)]
    version, budgets = load(path)
    if version != triton.__version__:
        return problems
    for kernel in kernels:
        if of(kernel) is None:
            continue
        budget = budgets.get(label(kernel))
        if budget is None:
            problems.append(f"{label(kernel)}: no stored budget; {ACCEPT}")
        else:
            problems += compare(kernel, budget)
    return problems


def update(kernels: Sequence[Kernel], path: Path = BUDGETS, *, whole: bool = True) -> Path:
    """Make what the kernels cost now their budgets.

    Args:
        kernels: what to take.
        path: where to write.
        whole: whether these are all kernels, so that the budgets of others are dropped.

    Returns:
        ``path``.
    """
    import triton

    stored: dict[str, Any] = {}
    if not whole and path.is_file():
        version, budgets = load(path)
        if version == triton.__version__:
            stored = {name: vars(budget) for name, budget in budgets.items()}
    for kernel in kernels:
        now = of(kernel)
        if now is not None:
            stored[label(kernel)] = vars(now)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(f'    "{name}": {json.dumps(row)}' for name, row in sorted(stored.items()))
    path.write_text(
        f'{{\n  "triton": "{triton.__version__}",\n  "kernels": {{\n{rows}\n  }}\n}}\n',
        encoding="utf-8",
    )
    return path
