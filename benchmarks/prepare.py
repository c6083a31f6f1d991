"""Measures `prepare` on a large file: peak memory, and speed against plain sentencepiece encoding.

    python -m benchmarks.prepare [--size-mb 1000] [--workers 1]

The file is generated (repeatable), prepared in a process of its own whose peak resident memory the system reports,
and some of its lines are then encoded one by one with the tokenizer that was made.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sentencepiece

from benchmarks.record import ledger, write_result
from seqvae.data.synthetic import sentences

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from seqvae.data.prepare import PrepareText, prepare_text
start = time.perf_counter()
corpus = prepare_text(PrepareText(inputs=(sys.argv[1],), out=Path(sys.argv[2]), workers=int(sys.argv[3])))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "cpu_seconds": round(time.process_time(), 1),
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "counts": corpus.meta["counts"],
    "tokens": sum(split["tokens"] for split in corpus.meta["splits"].values()),
    "vocab_size": corpus.tokenizer.vocab_size,
}))
"""
_BAR_BYTES = 1.5e9


def generate(path: Path, size: int, seed: int = 0) -> int:
    """Write about `size` bytes of lines, nearly all different, and return how many lines."""
    generator = random.Random(seed)
    # Invented words give the tokenizer a vocabulary of natural size.
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(generator.choices(letters, k=generator.randint(2, 9))) for _ in range(30_000)]
    halves = [
        f"{text.removesuffix(' .')} and {' '.join(generator.choices(words, k=generator.randint(1, 8)))}"
        for text, _, _ in sentences(8000, seed)
    ]
    written = count = 0
    with path.open("w", encoding="ascii") as stream:
        while written < size:
            picks = generator.choices(halves, k=20_000)
            block = "".join(f"{a} , {b} .\n" for a, b in zip(picks[::2], picks[1::2], strict=True))
            stream.write(block)
            written += len(block)
            count += 10_000
    return count


def plain_rate(path: Path, model: Path, most: int) -> tuple[float, float]:
    """MB a second, and a CPU second, of encoding one line after the other, on the first `most` bytes."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    with path.open(encoding="ascii") as stream:
        lines = stream.read(most).split("\n")
    start, cpu_start = time.perf_counter(), time.process_time()
    for line in lines:
        processor.encode(line)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return most / seconds / 1e6, most / cpu_seconds / 1e6


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, corpus = Path(folder, "corpus.txt"), Path(folder, "corpus")
        lines = generate(text, options.size_mb * 1_000_000)
        size = text.stat().st_size
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, str(text), str(corpus), str(options.workers)],
            stdout=subprocess.PIPE,
            check=True,
        )
        measured = json.loads(child.stdout)
        rate, cpu_rate = plain_rate(text, corpus / "tokenizer.model", min(size, 100_000_000))
    seconds = measured.pop("seconds")
    peak = measured.pop("peak_bytes")
    payload = {
        "what": f"prepare on a {size / 1e9:.2f} GB text file, {options.workers} thread(s)",
        "file_bytes": size,
        "lines": lines,
        "peak_resident_gb": round(peak / 1e9, 3),
        "seconds": round(seconds, 1),
        "mb_per_second": round(size / seconds / 1e6, 2),
        "plain_sentencepiece_mb_per_second": round(rate, 2),
        "mb_per_cpu_second": round(size / measured["cpu_seconds"] / 1e6, 2),
        "plain_sentencepiece_mb_per_cpu_second": round(cpu_rate, 2),
        **measured,
    }
    print(json.dumps(payload, indent=2))
    if options.size_mb < 1000:
        print("not recorded: the bar is about 1 GB")
        return
    result = write_result("prepare", payload)
    row = {
        "bar": "5",
        "what": "peak resident memory of prepare on a 1 GB text file, GB",
        "target": "<= 1.5",
        "figure": payload["peak_resident_gb"],
        "met": peak <= _BAR_BYTES,
        "result_file": result,
    }
    print(f"written to {result} and {ledger('A', [row])}")


if __name__ == "__main__":
    main()
