"""The sentence encoder and the language model that judge texts, asked once for each text."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.fluency import surprisals
from benchmarks.sentence_encoder import sentence_vectors

Floats = npt.NDArray[np.float32]


class Referees:
    """The sentence encoder and the language model, which are slow on a CPU: asked once for each text, remembered in a folder.

    Args:
        folder: made if there is none.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._vectors, self._texts = folder / "vectors.npy", folder / "texts.json"
        self._nats = folder / "nats.json"

    def ask(self, written: Sequence[Sequence[str]], read: int) -> None:
        """Ask all at once, which is faster: of every text for vectors, of the first `read` of each sequence for nats."""
        with ThreadPoolExecutor(2) as pool:  # each referee is a process of its own
            vectors = pool.submit(self.vectors, [text for texts in written for text in texts])
            nats = pool.submit(self.nats, [text for texts in written for text in texts[:read]])
            vectors.result(), nats.result()

    def vectors(self, texts: Sequence[str]) -> Floats | None:
        """Normalised sentence vectors [N, 384]; None where the encoder is not installed."""
        known: list[str] = _read(self._texts, [])
        bank = np.load(self._vectors) if known else np.zeros((0, 0), np.float32)
        new = sorted(set(texts).difference(known))
        if new:
            found = sentence_vectors(new)
            if found is None:
                return None
            bank, known = np.concatenate([bank, found]) if known else found, known + new
            np.save(self._vectors, bank)
            _write(self._texts, known)
        places = {text: i for i, text in enumerate(known)}
        chosen: Floats = bank[[places[text] for text in texts]]
        return chosen

    def nats(self, texts: Sequence[str]) -> npt.NDArray[np.float64] | None:
        """Surprisal of each text, [N] nats; None where the language model is not installed."""
        known: dict[str, float] = _read(self._nats, {})
        new = sorted(set(texts).difference(known))
        if new:
            found = surprisals(new)
            if found is None:
                return None
            known.update(zip(new, found[:, 0].tolist(), strict=True))
            _write(self._nats, known)
        return np.array([known[text] for text in texts])


def _read(path: Path, otherwise: Any) -> Any:  # noqa: ANN401
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else otherwise


def _write(path: Path, content: Any) -> None:  # noqa: ANN401
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    os.replace(partial, path)
