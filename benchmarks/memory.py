"""Peak memory of training with a large vocabulary: chunked loss against the same model with full logits.

    python -m benchmarks.memory

Each variant trains in a process of its own (random tokens, the preset's model, clipping, AdamW) and reports the greatest
resident size that the kernel saw: of the whole process, and beyond what it had before the model was built (Python, torch).
The ledger takes the whole process, the less favourable of the two.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.record import ROOT, ledger, write_result
from seqvae.config import Preset

TARGET = 0.5
Variant = Literal["chunked", "full"]


def resident() -> int:
    """Bytes resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def train(variant: Variant, size: Preset, vocabulary: int, rows: int, length: int) -> None:
    """Train a few steps and print the peak as JSON."""
    import torch

    from seqvae.batch import Batch
    from seqvae.config import preset
    from seqvae.data.text import BOS, EOS
    from seqvae.likelihoods import categorical
    from seqvae.ops.linear_cross_entropy import linear_cross_entropy_reference
    from seqvae.training.optimizer import build_optimizer

    if variant == "full":
        categorical.linear_cross_entropy = linear_cross_entropy_reference  # type: ignore[attr-defined]
    before = resident()
    config = preset(size)
    torch.manual_seed(0)
    model = config.model.build(vocabulary)
    optimizer = build_optimizer(model, config.training)
    objective = config.objective.build()
    losses = []
    for step in range(4):
        values = torch.randint(5, vocabulary, (rows, length))
        values[:, 0], values[:, -1] = BOS, EOS
        optimizer.zero_grad(set_to_none=True)
        batch = Batch(values, torch.full((rows,), length))
        loss = objective(model(batch, torch.tensor([step])), 0.0)
        loss.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.total.detach()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "beyond_start": peak - before, "losses": losses}))


def main(
    preset: Preset = "tiny",
    vocabulary: int = 32_000,
    rows: int = 64,
    length: int = 32,
    smoke: bool = False,
    worker: Variant | None = None,
) -> None:
    """Peak training memory with and without full logits.

    Args:
        preset: size of the model.
        vocabulary: pieces.
        rows: sequences in a batch.
        length: their length, start and end included.
        smoke: tiny, to see that it runs; nothing is recorded.
        worker: train this variant here and print its peak (used by the command itself).
    """
    if smoke:
        vocabulary, rows = 2000, 8
    if worker is not None:
        train(worker, preset, vocabulary, rows, length)
        return
    sizes = [f"--preset={preset}", f"--vocabulary={vocabulary}", f"--rows={rows}"]
    found = {}
    for variant in ("chunked", "full"):
        command = [sys.executable, "-m", "benchmarks.memory", *sizes, f"--length={length}"]
        done = subprocess.run(
            [*command, f"--worker={variant}"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        found[variant] = json.loads(done.stdout)
        print(f"{variant}: peak {found[variant]['peak'] / 2**20:,.0f} MiB")
    for a, b in zip(found["chunked"]["losses"], found["full"]["losses"], strict=True):
        if abs(a - b) > 1e-3 * abs(b):
            raise SystemExit(f"the two do not train alike: losses {a} and {b}")
    ratio = found["chunked"]["peak"] / found["full"]["peak"]
    beyond = found["chunked"]["beyond_start"] / found["full"]["beyond_start"]
    print(f"whole process {ratio:.2f} x, beyond its start {beyond:.2f} x")
    if smoke:
        return
    setting = {"preset": preset, "vocabulary": vocabulary, "rows": rows, "length": length}
    path = write_result(
        "memory", {**setting, "bytes": found, "ratio": ratio, "ratio_beyond_start": beyond}
    )
    ledger(
        "A",
        [
            {
                "bar": "5",
                "what": f"peak training memory, vocabulary {vocabulary:,}, against full logits",
                "target": f"<= {TARGET}",
                "figure": round(ratio, 3),
                "met": ratio <= TARGET,
                "result_file": path,
            }
        ],
    )


if __name__ == "__main__":
    tyro.cli(main)
