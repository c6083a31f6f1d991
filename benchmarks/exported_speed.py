"""Whole generation from z: PyTorch's loop, ours in the graph, a Python loop over the step graph; and 8-bit weights.

    python -m benchmarks.exported_speed [--size=small]
    python -m benchmarks.exported_speed --run=RUN

An untrained model of a preset's size with 8,000 pieces writes 64 tokens greedily from the same z, or the model of a run does.
Tokens are compared before anything is timed. Contenders take turns; before each timed call come a rest, in which the others'
threads stop spinning, and an untimed call. PyTorch is timed with one thread and with all; the better counts.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.record import ledger, write_result
from seqvae.config import Preset, preset
from seqvae.data.text import BOS, EOS
from seqvae.export.graphs import Graph
from seqvae.export.parts import export_parts
from seqvae.export.variants import Settings, Source, write_variant
from seqvae.export.verify import relative, start_state, step_logits
from seqvae.export.whole_choices import export_choices
from seqvae.model import SequenceVAE
from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.sampling import NEVER
from seqvae.training import load

VOCABULARY = 8000
TOKENS = 64
# Keys so far when one step is timed.
PAST = 32
# Seconds; threads of ONNX Runtime and of OpenMP give up spinning in milliseconds.
REST = 0.05

Array = np.ndarray[Any, np.dtype[Any]]


def untrained(size: Preset) -> SequenceVAE:
    """A model of a preset's size whose weights are large enough that z decides what it writes."""
    torch.manual_seed(0)
    model = preset(size).model.build(VOCABULARY).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    return model


def write(model: SequenceVAE, folder: Path, max_length: int, vocabulary: int) -> None:
    """The graphs of the variants, folders fp32 and int8."""
    settings = Settings(tokenizer="ids")
    dimension = model.need_latent().dimension
    choices = export_choices(vocabulary, dimension, settings.beam_size, opset=settings.opset)
    source = Source(export_parts(model), choices, {}, max_length, vocabulary)
    for precision in ("fp32", "int8"):
        (folder / precision).mkdir()
        write_variant(folder / precision, source, precision, settings)


class StepLoop:
    """Greedy writing as an app would loop over the step graph: start, then argmax by argmax."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.start = Graph(folder / "start.onnx", threads=threads)
        self.step = Graph(folder / "step.onnx", threads=threads)

    def __call__(self, z: Array) -> Array:
        """Tokens [B, T]."""
        state = self.start.run({"z": z})
        token = np.full((len(z), 1), BOS, np.int64)
        done = np.zeros((len(z), 1), bool)
        written = []
        for position in range(TOKENS):
            feed = {"token": token, "position": np.array(position, np.int64), **state}
            found = self.step.run(feed)
            logits = found.pop("logits")
            logits[:, list(NEVER)] = -np.inf
            token = np.where(done, 0, logits.argmax(1, keepdims=True))
            written.append(token)
            done |= token == EOS
            if done.all():
                break
            state |= {name.removeprefix("n_"): value for name, value in found.items()}
        return np.concatenate(written, 1)


def race(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each in every round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, call in contenders.items():
            time.sleep(REST)
            call()
            began = time.perf_counter()
            call()
            if number:
                times[name].append(1e3 * (time.perf_counter() - began))
    return times


def measure(
    model: SequenceVAE, folder: Path, batch: int, threads: int, rounds: int
) -> dict[str, Any]:
    """Check and time one batch size."""
    z = np.random.default_rng(0).normal(size=(batch, model.need_latent().dimension))
    z = z.astype(np.float32)
    loop = {p: Graph(folder / p / "generate.onnx", threads=threads) for p in ("fp32", "int8")}
    plain = StepLoop(folder / "fp32", threads)
    feed = {"z": z, "max_length": np.full((batch, 1), TOKENS, np.int64)}
    decoding = Decoding(max_length=TOKENS)

    def eager(threads: int = threads) -> list[list[int]]:
        torch.set_num_threads(threads)
        return generate(model, torch.from_numpy(z), decoding).ids

    truth = eager()
    for name, ids in (("loop", loop["fp32"].run(feed)["ids"]), ("steps", plain(z))):
        found = [[t for t in row if t not in (0, EOS)] for row in ids.tolist()]
        if found != truth:
            raise SystemExit(f"nothing is timed: {name} writes other tokens than PyTorch")
    times = race(
        {
            "pytorch": eager,
            "pytorch_one_thread": lambda: eager(1),
            "steps": lambda: plain(z),
            "loop": lambda: loop["fp32"].run(feed),
            "loop_int8": lambda: loop["int8"].run(feed),
        },
        rounds,
    )
    token = np.full((batch, 1), 17, np.int64)
    steps = {}
    for precision in ("fp32", "int8"):
        step = Graph(folder / precision / "step.onnx", threads=threads)
        state = start_state(folder / precision, batch, z)
        rng = np.random.default_rng(1)
        for name, value in state.items():
            if name.startswith("kv_"):
                shape = (*value.shape[:2], PAST, value.shape[3])
                state[name] = rng.normal(size=shape).astype(np.float32)
        once = {"token": token, "position": np.array(PAST, np.int64), **state}
        steps[f"step_{precision}"] = lambda step=step, once=once: step.run(once)
    times |= race(steps, 10 * rounds)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "batch": batch,
        "tokens": sum(len(row) for row in truth) / batch,
        "median_ms": medians,
        "least_ms": {name: min(found) for name, found in times.items()},
        "loop_over_steps": medians["loop"] / medians["steps"],
        "pytorch_over_loop": min(medians["pytorch"], medians["pytorch_one_thread"])
        / medians["loop"],
        "int8_step": medians["step_fp32"] / medians["step_int8"],
        "int8_loop": medians["loop"] / medians["loop_int8"],
    }


def int8_error(folder: Path, dimension: int) -> float:
    """Relative L2 error of 8-bit logits along greedy texts."""
    z = np.random.default_rng(2).normal(size=(16, dimension)).astype(np.float32)
    ids = StepLoop(folder / "fp32", 1)(z)
    values = np.concatenate([np.full((len(z), 1), BOS), ids[:, :-1]], 1)
    wanted = step_logits(folder / "fp32", values, z)
    return relative(step_logits(folder / "int8", values, z), wanted)


def main(
    size: Preset = "small",
    run: Path | None = None,
    batches: tuple[int, ...] = (1, 32),
    threads: int = 2,
    rounds: int = 15,
    record: bool = True,
) -> None:
    """Time generation.

    Args:
        size: preset of the untrained model.
        run: measure this run's model instead; of it the ledger gets what 8 bits cost.
        batches: texts at once.
        threads: of PyTorch and of ONNX Runtime.
        rounds: timed calls of each contender.
        record: write the result and the ledger's rows.
    """
    torch.set_num_threads(threads)
    if run is None:
        model, max_length, vocabulary = untrained(size), 128, VOCABULARY
    else:
        loaded = load(run)
        model, max_length = loaded.model, loaded.max_pieces + 2
        vocabulary = loaded.tokenizer.vocab_size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(model, folder, max_length, vocabulary)
        sizes = {p: (folder / p / "model.onnx").stat().st_size for p in ("fp32", "int8")}
        error = int8_error(folder, model.need_latent().dimension)
        found = [measure(model, folder, batch, threads, rounds) for batch in batches]
    share = sizes["int8"] / sizes["fp32"]
    for one in found:
        print({k: v if isinstance(v, int | dict) else round(v, 3) for k, v in one.items()})
    print(f"int8: {share:.2f} of the size, logits off by {error:.2%}")
    if not record:
        return
    what = f"untrained {size}" if run is None else run.name
    payload = {"model": what, "threads": threads, "batches": found, "bytes": sizes}
    path = write_result(f"exported_speed_{'run' if run else size}", payload | {"int8_error": error})
    at = f"{model.decoder.layers} layers of {model.decoder.width}"
    # Weights of no training have no small errors: only a trained model tells what 8 bits cost.
    if run is not None:
        one = {
            "bar": "2",
            "what": f"int8 model.onnx of a trained run ({at}): share of fp32's size, error of logits",
            "target": "<= 0.6, <= 1 %",
            "figure": f"{share:.2f}, {error:.2%}",
            "met": share <= 0.6 and error <= 0.01,
            "result_file": path,
        }
        ledger("C", [one])
        return
    if size != "small":
        return
    rows: list[dict[str, Any]] = []
    for one in found:
        sizes_of = f"{at}, {VOCABULARY} pieces, batch {one['batch']}, {threads} threads"
        least = 3.0 if one["batch"] == 1 else 1.5
        for kind, target, figure, met in (
            (
                "in-graph loop / Python loop over the step graph",
                "<= 1.15",
                one["loop_over_steps"],
                one["loop_over_steps"] <= 1.15,
            ),
            (
                "PyTorch eager / in-graph loop",
                f">= {least}",
                one["pytorch_over_loop"],
                one["pytorch_over_loop"] >= least,
            ),
            ("step in fp32 / in int8", ">= 1.3", one["int8_step"], one["int8_step"] >= 1.3),
        ):
            rows.append(
                {
                    "bar": "2",
                    "what": f"{kind}; {sizes_of}",
                    "target": target,
                    "figure": round(figure, 3),
                    "met": met,
                    "result_file": path,
                }
            )
    ledger("C", rows)


if __name__ == "__main__":
    tyro.cli(main)
