"""Importance-weighted likelihood: samples side by side in chunks, against one sample at a time.

    python -m benchmarks.importance

Both draw the same samples of z and must agree to 1e-4 nats before anything is timed. `loop` decodes
one sample of one sentence at a time and stores its logits, as research code does (batch 1); `rows`
is a stronger rival, all samples of one sentence at once with all their logits stored. Each
repetition times all of them, so that a busy machine slows them alike; figures are medians.
"""

import math
import os
import re
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae.batch import Batch
from seqvae.config import Preset, preset
from seqvae.data.text import BOS, EOS, PAD
from seqvae.evaluation.likelihood import (
    CHUNK_TOKENS,
    evaluating,
    importance_weighted,
    sequence_seeds,
)
from seqvae.likelihoods.categorical import CategoricalLikelihood
from seqvae.model import SequenceVAE

TOLERANCE = 1e-4
TARGET = 5.0


def sentences(count: int, vocabulary: int, shortest: int, longest: int) -> Batch:
    """Random sentences, `shortest` to `longest` tokens long, start and end counted."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator)
    steps = int(lengths.max())
    values = torch.randint(5, vocabulary, (count, steps), generator=generator)
    values[:, 0] = BOS
    values[torch.arange(count), lengths - 1] = EOS
    return Batch(values.where(torch.arange(steps) < lengths[:, None], PAD), lengths)


def naive(model: SequenceVAE, batch: Batch, samples: int, at_once: int) -> Tensor:
    """The same estimate with full logits, `at_once` samples of one sentence at a time."""
    latent, likelihood = model.need_latent(), model.likelihood
    assert isinstance(likelihood, CategoricalLikelihood)
    seeds = sequence_seeds(batch, 0, "posterior")
    nll = []
    with evaluating(model):
        for row in range(batch.size):
            length = batch.lengths[row : row + 1]
            values = batch.values[row : row + 1, : int(length)]
            posterior = model.encode(Batch(values, length))
            drawn = posterior.sample(
                torch.tensor([seeds[row]], device=batch.values.device), samples
            )
            weights = []
            for z in torch.split(drawn, at_once):
                inputs = values.expand(len(z), -1)
                logits = likelihood.logits(model.decode(inputs, z[:, 0]))
                log_prob = logits.log_softmax(-1).gather(2, inputs[:, 1:, None]).sum((1, 2))
                ratio = latent.prior.log_prob(z) - posterior.log_prob(z)
                weights.append(log_prob + ratio[:, 0])
            nll.append(math.log(samples) - torch.cat(weights).logsumexp(0))
    return torch.stack(nll)


def main(
    size: Preset = "tiny",
    vocabulary: int = 4096,
    sentence_count: int = 8,
    shortest: int = 8,
    longest: int = 20,
    samples: int = 500,
    repeats: int = 5,
    threads: int | None = None,
    device: str = "cpu",
    record: bool = True,
) -> None:
    """Measure and record bar 4 of issue A.

    Args:
        size: preset of the model, untrained: the cost is the same.
        vocabulary: pieces.
        sentence_count: sentences.
        shortest: tokens of the shortest possible sentence.
        longest: tokens of the longest possible sentence.
        samples: K.
        repeats: timings of each; the median counts.
        threads: CPU threads; all cores by default.
        device: cpu or cuda; the ledger's bar is the CPU's.
        record: write the result and the ledger.
    """
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = preset(size).model.build(vocabulary).to(device)
    batch = sentences(sentence_count, vocabulary, shortest, longest).to(device)
    ways: dict[str, Callable[[], Tensor]] = {
        "chunked": lambda: importance_weighted(model, batch, samples),
        "rows": lambda: naive(model, batch, samples, samples),
        "loop": lambda: naive(model, batch, samples, 1),
    }
    results = {name: way() for name, way in ways.items()}
    error = max(float((results[n] - results["chunked"]).abs().max()) for n in ("rows", "loop"))
    if not error <= TOLERANCE:
        raise SystemExit(f"the estimates differ by {error:.2e} nats: nothing was timed")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = median["loop"] / median["chunked"]
    tokens = samples * int(batch.predicted_tokens)
    payload = {
        "what": "importance-weighted evaluation against a per-sample loop with stored logits",
        "speed_up": {
            "over_loop": round(ratio, 2),
            "over_rows": round(median["rows"] / median["chunked"], 2),
        },
        "median_seconds": median,
        "seconds": seconds,
        "tokens_per_second": {name: round(tokens / value) for name, value in median.items()},
        "largest_difference_nats": error,
        "sizes": {
            "preset": size,
            "vocabulary": vocabulary,
            "sentences": sentence_count,
            "tokens": int(batch.predicted_tokens),
            "samples": samples,
            "chunk_tokens": CHUNK_TOKENS,
            "threads": threads,
        },
    }
    print(f"chunked {ratio:.1f} x faster than the loop, {payload['speed_up']}, error {error:.1e}")
    if not record:
        return
    if device != "cpu":
        card = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
        print(f"written to {write_result(f'{card}/importance', payload)}")
        return
    path = write_result("importance", payload)
    row = {
        "bar": "4",
        "what": "IW evaluation against a per-sample loop that stores logits, equal to 1e-4",
        "target": f">= {TARGET:g} x",
        "figure": f"{ratio:.1f} x, largest difference {error:.1e} nats",
        "met": ratio >= TARGET,
        "result_file": path,
    }
    print(f"written to {path.name} and {ledger('A', [row]).name}")


if __name__ == "__main__":
    # Not at the top: `run --gpu` calls `main` on machines that have torch and little else.

    import tyro

    tyro.cli(main)
