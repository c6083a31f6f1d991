"""Whole generation from z on a GPU: the decoding step with our kernels, with torch's attention, and the graph in ONNX Runtime.

    python -m benchmarks.generation [--device cuda]

An untrained model writes 64 tokens greedily from the same z. Tokens are compared before anything is timed (in float32; ties of
bfloat16 logits may fall either way). ONNX Runtime takes part where onnx, onnxscript and onnxruntime-gpu are installed.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae.config import preset
from seqvae.model import SequenceVAE
from seqvae.ops.dispatch import explain, use
from seqvae.tasks.decode import Decoding, generate

VOCABULARY, TOKENS = 8000, 64
BATCHES = (1, 8, 32, 128)


def untrained(size: Any, device: torch.device) -> SequenceVAE:  # noqa: ANN401
    """A model of a preset's size."""
    torch.manual_seed(0)
    model = preset(size).model.build(VOCABULARY).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    return model.to(device)


def contenders(
    model: SequenceVAE,
    z: Tensor,
    session: Any,  # noqa: ANN401
) -> dict[str, Callable[[], list[list[int]]]]:
    """Ways to write the texts of z [B, D]; each returns token ids."""
    decoding = Decoding(max_length=TOKENS)

    def kernels() -> list[list[int]]:
        return generate(model, z, decoding).ids

    def reference() -> list[list[int]]:
        with use("reference"):
            return generate(model, z, decoding).ids

    found: dict[str, Callable[[], list[list[int]]]] = {"kernels": kernels, "reference": reference}
    if session is not None:
        import numpy as np

        feed = {"z": z.cpu().numpy(), "max_length": np.full((len(z), 1), TOKENS, np.int64)}

        def graph() -> list[list[int]]:
            rows = session.run(["ids"], feed)[0].tolist()
            return [[token for token in row if token not in (0, 3)] for row in rows]

        found["onnxruntime"] = graph
    return found


def session_of(model: SequenceVAE, folder: Path, device: str) -> Any:  # noqa: ANN401
    """The generation graph in ONNX Runtime, or None with the reason printed."""
    try:
        import onnxruntime

        from seqvae.export.parts import export_parts
        from seqvae.export.variants import Settings, Source, write_variant
        from seqvae.export.whole_choices import export_choices
    except ImportError as error:
        print(f"onnxruntime takes no part: there is no {error.name}")
        return None
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        print("onnxruntime takes no part: it is a build without CUDA")
        return None
    settings, model = Settings(tokenizer="ids"), model.cpu()
    choices = export_choices(VOCABULARY, model.need_latent().dimension, settings.beam_size)
    source = Source(export_parts(model), choices, {}, 128, VOCABULARY)
    write_variant(folder, source, "fp32", settings)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    path = str(folder / "generate.onnx")
    return onnxruntime.InferenceSession(path, options, providers=[provider])


def race(calls: dict[str, Callable[[], Any]], rounds: int, device: str) -> dict[str, float]:
    """Median milliseconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}


def main(
    size: str = "small",
    device: str = "cuda",
    batches: tuple[int, ...] = BATCHES,
    rounds: int = 5,
    record: bool = True,
) -> int:
    """Time generation; returns the exit code, 1 if a contender writes something else.

    Args:
        size: preset of the model.
        device: cuda or cpu.
        batches: texts at once.
        rounds: timed calls of each.
        record: write the result, and on a GPU the ledger's row.
    """
    model = untrained(size, torch.device("cpu"))
    cases = []
    with tempfile.TemporaryDirectory() as name:
        session = session_of(model, Path(name), device)
        model = model.to(device)
        for batch in batches:
            noise = torch.Generator().manual_seed(0)
            z = torch.randn(batch, model.need_latent().dimension, generator=noise).to(device)
            calls = contenders(model, z, session)
            texts = {name: call() for name, call in calls.items()}
            differ = {
                name: sum(a != b for a, b in zip(found, texts["reference"], strict=True))
                for name, found in texts.items()
            }
            # A tie of float32 logits in one of many rows is no error; more is.
            if max(differ.values()) > batch // 50:
                print(
                    f"nothing is timed at batch {batch}: texts differ from the reference: {differ}"
                )
                return 1
            medians = race(calls, rounds, device)
            cases.append({"batch": batch, "median_ms": medians, "rows_that_differ": differ})
            print(batch, {name: round(found, 2) for name, found in medians.items()}, flush=True)
    paths = [str(choice) for choice in explain()]
    if record and device == "cuda":
        payload = {"size": size, "tokens": TOKENS, "cases": cases, "paths": paths}
        path = write_result("generation", payload)
        figure = {
            str(case["batch"]): round(
                case["median_ms"]["reference"] / case["median_ms"]["kernels"], 2
            )
            for case in cases
        }
        row = {
            "bar": "5",
            "what": "generation in PyTorch: torch's attention / our kernels, by batch",
            "target": "measured",
            "figure": figure,
            "met": True,
            "result_file": path,
        }
        ledger("C", [row])
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    raise SystemExit(
        main(given.size, given.device, tuple(given.batches), given.rounds, not given.no_record)
    )
