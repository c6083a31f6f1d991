"""Bytes and launches of eager, compiled and fused code, counted on any machine.

    python -m benchmarks.traffic

A pass is one read or write of a tensor as large as z (K1), the queries (K2) or a cache (K3). Eager code is counted
operator by operator, compiled code by the inputs and outputs of its graphs (what its kernels exchange comes on top) and the
kernels of Inductor's schedule for a CPU, ours by the tensors of its operators and the kernels that they start, both in Triton's
interpreter. Written: benchmarks/results/traffic.json, traffic.md and the ledger's row.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import torch

from benchmarks import counting, record
from benchmarks.contender import Contender
from benchmarks.counting import Count
from benchmarks.operation import Case, Mode, Operation
from benchmarks.providers import decode_attention, gaussian_latent, prefix_attention
from benchmarks.registry import REGISTRY

Entry = dict[str, Any]
CPU = torch.device("cpu")
MODES: tuple[Mode, Mode] = ("forward", "backward")
# Of a pass: seeds, and K3's tables of angles, of which it reads one row.
SLACK = 0.1
ROWS = 512
OURS = "seqvae."
RIVALS = ("eager", "eager-float32", "sdpa")
LABELS = {"gaussian_latent": "K1", "prefix_attention": "K2", "decode_attention": "K3"}


def cases(rows: int = ROWS) -> list[tuple[Operation, Case]]:
    """What is counted.

    Args:
        rows: of K1. With fewer the interpreter is faster, and what there is per dimension a larger part of a pass.
    """
    latent = [
        gaussian_latent.case(reduce, dtype, rows, 128, 0, packed=packed)
        for reduce in ("rows", "dimensions", "both")
        for dtype in (torch.float32, torch.bfloat16)
        for packed in (False, True)
    ]
    # The interpreter multiplies fp16 matrices, but not bf16 ones.
    half = torch.float16
    attention = [prefix_attention.case(half, 2, steps, 0, heads=2) for steps in (32, 64, 128)]
    step = [decode_attention.case(half, 4, 128, 0)]
    named = {"gaussian_latent": latent, "prefix_attention": attention, "decode_attention": step}
    return [(REGISTRY[op], case) for op, group in named.items() for case in group]


def unit(case: Case) -> int:
    """Bytes of a pass."""
    names = "ND" if "N" in case.sizes else "BHCD" if "C" in case.sizes else "BHSD"
    return math.prod(case.sizes[name] for name in names) * case.element


def entry(operation: Operation, case: Case, name: str, pair: counting.Pair) -> Entry:
    """One provider's line."""
    size = unit(case)
    return {
        "op": operation.name,
        "case": case.name,
        "provider": name,
        "sizes": dict(case.sizes),
        "forward_launches": pair.forward.launches,
        "forward_passes": round(pair.forward.nbytes / size, 3),
        "backward_launches": pair.backward.launches,
        "backward_passes": round(pair.backward.nbytes / size, 3),
        "saved_tensors": pair.saved_tensors,
        "saved_bytes": pair.saved_bytes,
        "saved_passes": round(pair.saved_bytes / size, 3),
        "bytes": pair.forward.nbytes + pair.backward.nbytes,
        "least_passes": [
            round(operation.traffic(case, mode) / size, 3) if mode in case.modes else 0
            for mode in MODES
        ],
    }


def counted(operation: Operation, case: Case, *, schedule: bool = True) -> list[Entry]:
    """Lines of a case: eager variants and what torch.compile makes of the first.

    Args:
        operation: which.
        case: of it.
        schedule: whether to count Inductor's kernels, which takes seconds.
    """
    found = []
    for provider in operation.providers:
        if provider.name in RIVALS and provider.missing(case, CPU) is None:
            contender = Contender(operation, case, provider, CPU)
            found.append(entry(operation, case, provider.name, counting.eager(contender)))
    plain = Contender(operation, case, operation.provider("eager"), CPU)
    pair = counting.compiled(plain, schedule=schedule)
    found.append(entry(operation, case, "compile", pair))
    return found


def fused(rows: int = ROWS) -> list[Entry]:
    """Lines of ours, from a process with Triton's interpreter.

    Args:
        rows: see `cases`.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.traffic", f"--fused={rows}"],
        cwd=record.ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"counting ours failed:\n{done.stderr[-2000:]}")
    found: list[Entry] = json.loads(done.stdout.splitlines()[-1])
    return found


def interpreted(rows: int) -> list[Entry]:
    """`fused`, in this process: what its operators read and write, and the kernels that they start."""
    found = []
    with counting.launches() as names:
        for operation, case in cases(rows):
            provider = replace(operation.provider("seqvae"), path="triton")
            contender = Contender(operation, case, provider, CPU)
            kernels: dict[Mode, list[str]] = {}
            pair = counting.eager(contender, lambda mode, into=kernels: drain(names, mode, into))
            line = entry(operation, case, "seqvae", pair)
            names.clear()
            seen: dict[Mode, Count] = {"forward": pair.forward, "backward": pair.backward}
            for mode, count in seen.items():
                # Ours start kernels, which are known by name; torch's beside them are one each.
                others = [operator for operator in count.names if not operator.startswith(OURS)]
                kernels[mode] += others
                line[f"{mode}_launches"] = len(kernels[mode])
            found.append({**line, "kernels": kernels})
    return found


def drain(names: list[str], mode: Mode, into: dict[Mode, list[str]]) -> None:
    """Move what was started so far to a mode's list."""
    into[mode] = list(names)
    names.clear()


def faults(entries: list[Entry]) -> list[str]:
    """Where ours moves, keeps or starts more than it must."""
    found = []
    for line in entries:
        if line["provider"] != "seqvae":
            continue
        name = f"{line['op']} {line['case']}"
        for mode, least in zip(MODES, line["least_passes"], strict=True):
            passes, kernels = line[f"{mode}_passes"], line[f"{mode}_launches"]
            # What is kept is written once and read once.
            if not least - 0.01 <= passes <= least + line["saved_passes"] + SLACK:
                found.append(f"{name}: {passes} passes {mode}, not {least}")
            if kernels > most_launches(line, mode):
                found.append(f"{name}: {kernels} launches {mode}")
        if line["saved_tensors"] > most_kept(line):
            found.append(f"{name}: keeps {line['saved_tensors']} tensors")
        if line["saved_bytes"] > most_kept(line) * 4 * line["sizes"].get("D", 0):
            found.append(f"{name}: keeps {line['saved_bytes']} bytes")
    return found


def most_kept(line: Entry) -> int:
    """None; where a mean over rows is clamped, one number a dimension that says whether it was."""
    return int(line["op"] == "gaussian_latent" and not line["case"].startswith("rows"))


def most_launches(line: Entry, mode: str) -> int:
    """One, a second that merges sums over rows or splits of a cache, and none without a gradient."""
    if line["op"] == "gaussian_latent":
        merges = mode == "forward" and not line["case"].startswith("rows")
        return 2 if merges else 1
    if line["op"] == "decode_attention":
        return 2 if mode == "forward" else 0
    return 1


def table(entries: list[Entry]) -> str:
    """In Markdown, for the README."""
    columns = (
        "operation",
        "code",
        "launches forward + backward",
        "passes forward + backward",
        "kept for backward, passes",
        "bytes, ours = 1",
    )
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    ours = {
        (line["op"], line["case"]): line["bytes"]
        for line in entries
        if line["provider"] == "seqvae"
    }
    for line in entries:
        backward = bool(line["least_passes"][1])

        def both(what: str, digits: int, line: Entry = line, backward: bool = backward) -> str:
            parts = [line[f"forward_{what}"]] + [line[f"backward_{what}"]] * backward
            return " + ".join(f"{part:.{digits}f}" for part in parts)

        label = f"{LABELS[line['op']]} {line['case']}"
        ratio = line["bytes"] / ours[line["op"], line["case"]]
        kept = f"{line['saved_passes']:.1f}" if backward else ""
        lines.append(
            f"| {label} | {line['provider']} | {both('launches', 0)} | {both('passes', 1)} "
            f"| {kept} | {ratio:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Count, print, write; the exit code is 1 if ours does more than it must."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fused", type=int, help=argparse.SUPPRESS)
    rows = parser.parse_args().fused
    if rows is not None:
        print(json.dumps(interpreted(rows)))
        return 0
    ours = fused()
    entries: list[Entry] = []
    for operation, case in cases():
        entries += counted(operation, case)
        entries += [e for e in ours if (e["op"], e["case"]) == (operation.name, case.name)]
        print(f"{operation.name} {case.name}", flush=True)
    text, wrong = table(entries), faults(entries)
    print(text, *wrong, sep="\n")
    path = record.write_result("traffic", {"entries": entries})
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    row = {
        "bar": "1",
        "what": "traffic gate: passes, launches and kept tensors of the fused operations",
        "target": "K1 3 + 5 passes, K2 4 + 7, K3 2, and small ones; a launch each, one more where sums merge; "
        "nothing kept but a number a clamped dimension",
        "figure": f"{len(ours) - len({w.split(':')[0] for w in wrong})} of {len(ours)} cases",
        "met": not wrong,
        "result_file": path,
    }
    record.ledger("B", [row])
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
