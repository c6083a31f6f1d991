"""Sentences of a kind that training never saw: scores of a VAE beside a language model of the same decoder, data and steps.

    python -m benchmarks.anomaly FOLDER --work runs/anomaly

FOLDER has train.tsv and val.tsv (in scope), oos_train.tsv and oos_val.tsv (out of it), a text, a tab and a label a line, as
clinc150. No model sees a label; one of the scores, named so, compares with known texts by the labels of train.tsv, and others
rank without any model of ours: words counted, and a sentence encoder where .venv-eval has it. Three models are trained on train.tsv: the VAE, the language model, and a language model of the same texts with half
of their words exchanged, which knows what is common but not what is meant (Ren et al. 2019, "Likelihood Ratios for
Out-of-Distribution Detection"). The score is chosen on one half of val.tsv and oos_train.tsv and reported on the other half and
oos_val.tsv, with an interval from a bootstrap of both. The same command goes on where it stopped. Result:
benchmarks/results/anomaly/NAME.json; `python -m benchmarks.anomaly_table` writes docs/anomalies.md of it.
"""

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import ledger, write_result
from benchmarks.sentence_encoder import sentence_vectors
from seqvae.config import Experiment, preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.tasks.auroc import auroc
from seqvae.tasks.reference import NEIGHBOURS, Reference
from seqvae.tasks.score import Score
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

Values = np.ndarray[Any, np.dtype[np.float64]]
EXCHANGED = 0.5
"""Share of words exchanged for the background."""
BAR = 0.90
MODEL = ("lm nll", "lm nll per piece")
"""What a plain language model offers: the best of the two is to be beaten."""
RIVALS = ("lm ", "words counted", "sentence encoder")
"""How the names of scores begin that no VAE made."""


def column(path: Path, number: int = 0) -> list[str]:
    """A column of a table."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[number] for line in lines if line.strip()]


def exchange(texts: Sequence[str], share: float, seed: int) -> list[str]:
    """Texts with a share of their words exchanged for words of all texts, as often as those occur."""
    generator = random.Random(seed)
    words = [word for text in texts for word in text.split()]
    return [
        " ".join(
            generator.choice(words) if generator.random() < share else word for word in text.split()
        )
        for text in texts
    ]


def prepared(work: Path, name: str, texts: Sequence[str], **settings: Any) -> Path:  # noqa: ANN401
    """A corpus of texts, prepared once."""
    lines = work / f"{name}.txt"
    if not lines.exists():
        lines.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return prepare_text(
        PrepareText((str(lines),), work / f"{name}-data", test=0.0, **settings)
    ).path


def trained(work: Path, name: str, corpus: Path, experiment: Experiment) -> TextModel:
    """A model of a corpus, trained once."""
    with counted(work / f"{name}.cpu.json"):
        train(replace(experiment, data=str(corpus), run=str(work / name)))
    model = load_text(work / name, prior="standard")
    model.crop = True
    return model


class Known(NamedTuple):
    """The texts of the training, and what compares with them."""

    texts: Sequence[str]
    plain: Reference
    labelled: Reference


def scores(
    vae: TextModel,
    language_model: TextModel,
    background: TextModel,
    known: Known,
    texts: Sequence[str],
    samples: int,
) -> dict[str, Values]:
    """Every score of every text; high is odd."""
    found = vae.score(texts, samples=samples)
    plain, common = (
        np.array([s.nll_iw for s in m.score(texts)]) for m in (language_model, background)
    )
    pieces = np.array([len(s.pieces) for s in found], float)

    def of(name: str) -> Values:
        return np.array([getattr(s, name) for s in found], float)

    return {
        "-elbo": -of("elbo"),
        "nll_iw": of("nll_iw"),
        "nll_iw per piece": of("per_piece"),
        "kl": of("kl"),
        "reconstruction": of("reconstruction"),
        "misfit": of("misfit"),
        "oddest piece": np.array([_oddest(s) for s in found]),
        "nll_iw per compressed byte": of("nll_iw") / np.array([_compressed(t) for t in texts]),
        "likelihood ratio": of("nll_iw") - common,
        "likelihood ratio per piece": (of("nll_iw") - common) / pieces,
        "latent distance to all": mahalanobis(vae.embed(known.texts), vae.embed(texts)),
        "latent distance to the nearest": known.plain.distances(texts),
        "latent distance to the nearest, labels known": known.labelled.distances(texts),
        "misfit and distance": known.plain.oddity(found),
        "misfit and distance, labels known": known.labelled.oddity(found),
        "lm nll": plain,
        "lm nll per piece": plain / pieces,
        "lm likelihood ratio": plain - common,
        "lm likelihood ratio per piece": (plain - common) / pieces,
        "words counted, nearest": counted_words(known.texts, texts),
    }


def mahalanobis(known: Any, vectors: Any) -> Values:  # noqa: ANN401
    """Squared distance of vectors [N, D] to the Gaussian of what is known [M, D]."""
    centre = known.mean(0)
    inverse = np.linalg.pinv(np.cov(known.T))
    return np.asarray(((vectors - centre) @ inverse * (vectors - centre)).sum(1))


def encoded(
    known: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Values]]:
    """Distances of groups of texts to the nearest known ones by a sentence encoder; none where it is not installed."""
    vectors = sentence_vectors([*known, *(text for texts in groups.values() for text in texts)])
    if vectors is None:
        return {}
    found = {}
    start = len(known)
    for name, texts in groups.items():
        near = vectors[start : start + len(texts)] @ vectors[: len(known)].T
        start += len(texts)
        nearest = np.sort(near, axis=1)[:, -NEIGHBOURS:].astype(float)
        found[name] = {
            "sentence encoder, nearest": -nearest[:, -1],
            f"sentence encoder, {NEIGHBOURS} nearest": -nearest.mean(1),
        }
    return found


def counted_words(known: Sequence[str], texts: Sequence[str]) -> Values:
    """Distance to the nearest known text by the letters of its words (TF-IDF of 2 to 5): no model at all."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)).fit(known)
    near = counter.transform(known)
    return -np.asarray((counter.transform(texts) @ near.T).max(axis=1).toarray())[:, 0]


def _oddest(score: Score) -> float:
    return max(piece.surprisal for piece in score.pieces)


def _compressed(text: str) -> int:
    return len(zlib.compress(text.encode(), 9))


def interval(normal: Values, odd: Values, draws: int = 1000) -> tuple[float, float]:
    """95 % of the AUROC over resamples of both."""
    generator = np.random.default_rng(0)
    found = [
        auroc(
            list(generator.choice(normal, len(normal))),
            list(generator.choice(odd, len(odd))),
        )
        for _ in range(draws)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def table(
    found: Mapping[str, Mapping[str, Values]], draws: int = 1000
) -> dict[str, dict[str, Any]]:
    """AUROC of each score: `choose` on the odd of the one half, `report` of the other."""
    rows: dict[str, dict[str, Any]] = {}
    for name in found["val"]:
        normal = found["val"][name]
        chosen, reported = normal[0::2], normal[1::2]
        odd = found["oos_val"][name]
        rows[name] = {
            "choose": auroc(list(chosen), list(found["oos_train"][name])),
            "report": auroc(list(reported), list(odd)),
            "interval": interval(reported, odd, draws),
        }
    return rows


def best(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The VAE's score that does best on the half for choosing."""
    ours = [name for name in rows if not name.startswith(RIVALS)]
    return max(ours, key=lambda name: float(rows[name]["choose"]))


def main(
    folder: tyro.conf.Positional[Path],
    work: Path,
    name: str = "clinc150",
    rate: float = 16.0,
    epochs: float = 10.0,
    vocabulary: int = 3000,
    samples: int = 20,
    seed: int = 0,
) -> None:
    """Train, score, and write down.

    Args:
        folder: with the four tables.
        work: folder for corpora and runs.
        name: what to call the result.
        rate: nats that z carries.
        epochs: passes over train.tsv, of each model.
        vocabulary: pieces.
        samples: K of nll_iw.
        seed: of training and of the exchanged words.
    """
    work.mkdir(parents=True, exist_ok=True)
    known = column(folder / "train.tsv")
    base = preset("tiny", rate=rate)
    base = replace(base, seed=seed, training=replace(base.training, threads=1, epochs=epochs))
    plain = replace(base, latent="none")
    corpus = prepared(work, "scope", known, vocab_size=vocabulary)
    noised = exchange(known, EXCHANGED, seed)
    common = prepared(work, "exchanged", noised, tokenizer=corpus / "tokenizer.model")
    vae = trained(work, "vae", corpus, base)
    language_model = trained(work, "lm", corpus, plain)
    background = trained(work, "background", common, plain)
    compared = Known(
        known, Reference(vae, known), Reference(vae, known, column(folder / "train.tsv", 1))
    )
    groups = {split: column(folder / f"{split}.tsv") for split in ("val", "oos_train", "oos_val")}
    found = {
        split: scores(vae, language_model, background, compared, texts, samples)
        for split, texts in groups.items()
    }
    for split, values in encoded(known, groups).items():
        found[split] |= values
    for split, values in found.items():
        np.savez(work / f"scores-{split}.npz", **values)
    rows = table(found)
    winner = best(rows)
    rival = max(MODEL, key=lambda model: float(rows[model]["report"]))
    path = write_result(
        f"anomaly/{name}",
        {
            "rate": rate,
            "epochs": epochs,
            "vocabulary": vocabulary,
            "train_cpu_seconds": {
                model: cpu_seconds(work / f"{model}.cpu.json")
                for model in ("vae", "lm", "background")
            },
            "chosen": winner,
            "scores": rows,
        },
    )
    ours, theirs = rows[winner]["report"], rows[rival]["report"]
    low, high = rows[winner]["interval"]
    ledger(
        "E",
        [
            {
                "bar": "2",
                "what": f"anomaly detection on {name}",
                "target": f"AUROC >= {BAR:.2f} and above the language model's",
                "figure": f"{winner} {ours:.3f} ({low:.3f} to {high:.3f}); {rival} {theirs:.3f}",
                "met": ours >= BAR and ours > theirs,
                "result_file": path,
            }
        ],
    )
    for score, row in sorted(rows.items(), key=lambda item: -item[1]["report"]):
        low, high = row["interval"]
        mark = "*" if score == winner else " "
        print(
            f"{mark} {score:32s} {row['choose']:.3f}  {row['report']:.3f} ({low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    tyro.cli(main)
