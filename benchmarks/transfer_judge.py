"""What referees say of verses moved to another style: the style they are taken for, what is kept of them, and their fluency."""

import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.fluency import surprisals
from benchmarks.sentence_encoder import sentence_vectors
from benchmarks.transfer_rivals import Style

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


class Judge:
    """Of verses moved in one direction.

    Args:
        texts: that were moved.
        wanted: the same verses in the other translation.
        target: the style they were moved to.
        classify: of styles.
        referees: of content and fluency.
        read: how many, from the first on, the language model reads.
    """

    def __init__(
        self,
        texts: Sequence[str],
        wanted: Sequence[str],
        target: str,
        classify: Style,
        referees: Referees,
        read: int,
    ) -> None:
        self._texts, self._wanted, self._target = list(texts), list(wanted), target
        self._classify, self._referees, self._read = classify, referees, read

    def row(self, who: str, written: Sequence[str]) -> dict[str, Any]:
        """Figures of one system; those of a referee that is not installed are absent."""
        import sacrebleu

        given = list(written)
        row: dict[str, Any] = {
            "who": who,
            "style": self._classify.share(given, self._target),
            "bleu": sacrebleu.corpus_bleu(given, [self._wanted]).score,
            "chrf": sacrebleu.corpus_chrf(given, [self._wanted]).score,
            "self_bleu": sacrebleu.corpus_bleu(given, [self._texts]).score,
            "self_chrf": sacrebleu.corpus_chrf(given, [self._texts]).score,
            "copies": float(
                np.mean(
                    [
                        a.casefold().split() == b.casefold().split()
                        for a, b in zip(given, self._texts, strict=True)
                    ]
                )
            ),
        }
        vectors = self._referees.vectors([*self._texts, *self._wanted, *given])
        if vectors is not None:
            own, other, theirs = vectors.reshape(3, len(given), -1)
            row["content"] = float((own * theirs).sum(1).mean())
            row["to_reference"] = float((other * theirs).sum(1).mean())
            row["joint"] = math.sqrt(max(0.0, row["content"]) * row["style"])
        nats = self._referees.nats(given[: self._read])
        if nats is not None:
            words = sum(len(text.split()) for text in given[: self._read])
            row["nats_per_word"] = float(nats.sum()) / max(1, words)
        return row
