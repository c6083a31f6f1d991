"""The same seeds in PyTorch, in ONNX Runtime and in WebAssembly: how many texts are the same, token by token.

    python -m benchmarks.sampled [--rows=1000]

Every row has a text, a seed (any 64-bit integer), a sample number and a way of writing of its own. A
character model is used, whose tokenizer is made of plain operators: that is what browsers run.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks import wasm
from benchmarks.record import ledger, write_result
from seqvae.data.synthetic import sentences
from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.decoders import Transformer
from seqvae.encoders import Transformer as TransformerEncoder
from seqvae.export.bundle_manifest import OPTIONS
from seqvae.export.golden import Case, write_with_torch
from seqvae.export.variants import Settings, export_source, write_variant
from seqvae.latent import Latent
from seqvae.likelihoods import Categorical
from seqvae.model import SequenceVAE
from seqvae.posteriors import Gaussian
from seqvae.priors import Standard
from seqvae.tasks.text_model import TextModel

TARGET = 0.999
BEAM_SIZE = 4
BATCH = 50
# Rows that are also written alone.
ALONE = 50
STYLES: tuple[dict[str, float], ...] = (
    {"temperature": 1.0},
    {"temperature": 0.7, "noise_scale": 0.5},
    {"temperature": 1.3, "noise_scale": 2.0},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.0, "top_p": 0.9, "noise_scale": 0.0},
    {"temperature": 0.9, "top_k": 12, "top_p": 0.8, "max_length": 24},
)
SEEDS_PER_STYLE = 8
DTYPES = {"int64": np.int64, "float32": np.float32, "bool": np.bool_}

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = dict[str, Array]


def character_model(width: int = 64, layers: int = 2, latent: int = 16) -> TextModel:
    """An untrained character model whose weights are large enough that it writes different things."""
    lines = [line for _, line, _ in sentences(400)]
    tokenizer = Tokenizer(
        train_tokenizer(lines, vocab_size=200, model_type="char", byte_fallback=False)
    )
    torch.manual_seed(5)
    model = SequenceVAE(
        Latent(
            TransformerEncoder(layers=layers, width=width, heads=4).build(width, 128),
            Gaussian(latent).build(width),
            Standard().build(latent),
        ),
        Transformer(layers=layers, width=width, heads=4, prefix=2).build(latent, 128),
        Categorical().build(tokenizer.vocab_size, width),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    return TextModel(model.eval(), tokenizer)


def make_cases(rows: int, seed: int = 0) -> list[Case]:
    """Rows that all draw tokens, in groups of one seed and style.

    Args:
        rows: how many.
        seed: of the choice.
    """
    random = np.random.default_rng(seed)
    texts = ["", *(line for _, line, _ in sentences(rows, seed=1))]
    edges = [0, -1, 2**63 - 1, -(2**63)]
    count = SEEDS_PER_STYLE * len(STYLES)
    seeds = [*edges, *random.integers(-(2**63), 2**63 - 1, count - len(edges)).tolist()]
    groups = [{**STYLES[i % len(STYLES)], "seed": s} for i, s in enumerate(seeds)]
    return [
        Case(str(i), texts[i % len(texts)], {**groups[i % count], "sample": i // count})
        for i in range(rows)
    ]


def feeds_of(cases: Sequence[Case]) -> Feeds:
    """The tensors of a batch."""
    feeds: Feeds = {"text": np.array([case.text for case in cases], dtype=object)}
    for name, known in OPTIONS.items():
        values = [[case.all_options[name]] for case in cases]
        feeds[name] = np.array(values, dtype=DTYPES[known.dtype])
    return feeds


def batches(cases: Sequence[Case], size: int) -> list[Feeds]:
    """The rows in batches."""
    return [feeds_of(cases[i : i + size]) for i in range(0, len(cases), size)]


def rows_of(outputs: Sequence[dict[str, Array]]) -> list[tuple[str, tuple[int, ...]]]:
    """Text and tokens of every row of the batches, without what fills them up."""
    return [
        (str(text), tuple(int(token) for token in ids if token))
        for batch in outputs
        for text, ids in zip(batch["written"], batch["ids"], strict=True)
    ]


def share_equal(one: Sequence[object], other: Sequence[object]) -> float:
    """Share of the rows that are the same."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def compare(model: TextModel, path: Path, cases: Sequence[Case]) -> dict[str, Any]:
    """Write all rows in each runtime.

    Args:
        model: in PyTorch.
        path: its model.onnx.
        cases: the rows.

    Returns:
        Shares of equal rows and seconds.
    """
    import onnxruntime

    names = ["written", "ids"]
    began = time.perf_counter()
    truth = [(row.text, row.ids) for row in write_with_torch(model, cases, BEAM_SIZE)]
    seconds = {"pytorch": time.perf_counter() - began}

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def native(runs: Sequence[Feeds]) -> list[tuple[str, tuple[int, ...]]]:
        return rows_of([dict(zip(names, session.run(names, f), strict=True)) for f in runs])

    began = time.perf_counter()
    python = native(batches(cases, BATCH))
    seconds["onnxruntime"] = time.perf_counter() - began
    answers = wasm.run(path, [*batches(cases, BATCH), *batches(cases[:ALONE], 1)], names)
    web = rows_of(answers.outputs)
    seconds |= {"wasm": answers.run_seconds, "wasm_load": answers.load_seconds}
    alone = native(batches(cases[:ALONE], 1))
    lengths = [len(ids) for _, ids in truth]
    return {
        "rows": len(cases),
        "distinct_texts": len({text for text, _ in truth}),
        "lengths": {
            "least": min(lengths),
            "mean": sum(lengths) / len(lengths),
            "most": max(lengths),
        },
        "equal": {
            "onnxruntime": share_equal(python, truth),
            "wasm": share_equal(web[: len(cases)], truth),
            "onnxruntime_alone": share_equal(alone, python[:ALONE]),
            "wasm_alone": share_equal(web[len(cases) :], web[:ALONE]),
        },
        "seconds": seconds,
    }


def bars(result: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The ledger's rows."""
    what = {
        "onnxruntime": "sampled rows equal to PyTorch's, token by token: ONNX Runtime in Python",
        "wasm": "sampled rows equal to PyTorch's, token by token: ONNX Runtime in WebAssembly",
        "onnxruntime_alone": "sampled rows alone equal to the same in a batch: ONNX Runtime in Python",
        "wasm_alone": "sampled rows alone equal to the same in a batch: WebAssembly",
    }
    rows = []
    for name, equal in result["equal"].items():
        target = 1.0 if name.endswith("alone") else TARGET
        count = ALONE if name.endswith("alone") else result["rows"]
        rows.append(
            {
                "bar": "1",
                "what": what[name],
                "target": f">= {target:.1%}" if target < 1 else "100 %",
                "figure": f"{equal:.2%} of {count:,}",
                "met": equal >= target,
                "result_file": path,
            }
        )
    return rows


def main(rows: int = 1000, record: bool = True) -> None:
    """Write the same rows in three runtimes and count those that are equal.

    Args:
        rows: how many.
        record: keep the figures, and the ledger's rows.
    """
    if problem := wasm.missing():
        raise SystemExit(f"benchmarks.sampled: {problem}")
    torch.set_num_threads(1)
    model = character_model()
    settings = Settings("char", beam_size=BEAM_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_variant(place, export_source(model, settings), "fp32", settings)
        result = compare(model, place / "model.onnx", make_cases(rows))
    for name, equal in result["equal"].items():
        print(f"{name:>20}  {equal:8.3%} equal")
    print("seconds:", ", ".join(f"{name} {s:.1f}" for name, s in result["seconds"].items()))
    if record:
        ledger("C", bars(result, write_result("sampled", result)))


if __name__ == "__main__":
    tyro.cli(main)
