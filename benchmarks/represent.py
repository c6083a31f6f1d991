"""What vectors of texts are worth: a linear classifier on them, beside words counted and a sentence encoder.

    python -m benchmarks.represent RUN TRAIN.tsv TEST.tsv --name clinc150

The tables have a text, a tab and a label, without a header. RUN never sees the labels. Logistic regression on standardised
vectors, its strength chosen by 3-fold cross-validation on the training table; few labels: the first 10 of each class. Result:
benchmarks/results/represent/NAME.json, of all of which docs/representation.md is written.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import tyro

from benchmarks.record import RESULTS, ROOT, ledger, write_result
from benchmarks.sentence_encoder import sentence_vectors
from seqvae.errors import UserError
from seqvae.training import load_text

FEW = 10
PAGE = ROOT / "docs" / "representation.md"
NAMES = {
    "vae": "posterior means of the VAE, `seqvae embed`",
    "tfidf": "words counted (TF-IDF)",
    "minilm": "sentence encoder (all-MiniLM-L6-v2, trained on a billion pairs)",
}


def read(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels.

    Raises:
        UserError: a line has no tab.
    """
    texts, labels = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text, tab, label = line.partition("\t")
        if not tab:
            raise UserError(f"{path}, line {number}: no tab between text and label")
        texts.append(text)
        labels.append(label)
    return texts, labels


def probe(
    train: Any,  # noqa: ANN401
    labels: list[str],
    test: Any,  # noqa: ANN401
    truth: list[str],
    *,
    dense: bool,
) -> dict[str, float]:
    """Accuracy on the test table with all labels and with few."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    place: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        place[label].append(row)
    few = [row for rows in place.values() for row in rows[:FEW]]
    found = {}
    for name, rows in (("all", list(range(len(labels)))), ("few", few)):
        model = make_pipeline(
            StandardScaler(with_mean=dense, with_std=dense), LogisticRegression(max_iter=300)
        )
        grid = {"logisticregression__C": [0.01, 0.1, 1.0] if dense else [1.0, 10.0]}
        search = GridSearchCV(model, grid, cv=3).fit(train[rows], [labels[row] for row in rows])
        found[name] = float(search.score(test, truth))
    return found


def main(
    run: tyro.conf.Positional[Path],
    train: tyro.conf.Positional[Path],
    test: tyro.conf.Positional[Path],
    name: str,
    per_class: int | None = None,
) -> None:
    """Measure and write down.

    Args:
        run: a trained run with a latent.
        train: labelled texts to fit on.
        test: labelled texts to measure on.
        name: what to call the result.
        per_class: labels of each class used at most; by default all.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, labels = read(train)
    if per_class is not None:
        seen: dict[str, int] = defaultdict(int)
        kept = []
        for row, label in enumerate(labels):
            seen[label] += 1
            if seen[label] <= per_class:
                kept.append(row)
        texts, labels = [texts[i] for i in kept], [labels[i] for i in kept]
    unseen, truth = read(test)
    model = load_text(run)
    model.crop = True
    words = TfidfVectorizer(sublinear_tf=True).fit(texts)
    results = {
        "vae": probe(model.embed(texts), labels, model.embed(unseen), truth, dense=True),
        "tfidf": probe(words.transform(texts), labels, words.transform(unseen), truth, dense=False),
    }
    vectors = sentence_vectors([*texts, *unseen])
    if vectors is not None:
        first, second = vectors[: len(texts)], vectors[len(texts) :]
        results["minilm"] = probe(first, labels, second, truth, dense=True)
    classes = len(set(labels))
    path = write_result(
        f"represent/{name}",
        {
            "classes": classes,
            "train": len(texts),
            "test": len(unseen),
            "most_frequent": max(truth.count(label) for label in set(truth)) / len(truth),
            "dimension": model.need_latent("represent").dimension,
            "accuracy": results,
        },
    )
    figures = ", ".join(f"{key} {r['all']:.3f} ({r['few']:.3f})" for key, r in results.items())
    ledger(
        "E",
        [
            {
                "bar": "2",
                "what": f"representation: linear probe on {name}",
                "target": "result beside a sentence encoder",
                "figure": f"accuracy with all labels ({FEW} a class): {figures}",
                "met": "minilm" in results,
                "result_file": path,
            }
        ],
    )
    page()
    print(json.dumps(results, indent=2))


def page() -> None:
    """Write docs/representation.md from all results there are."""
    lines = [
        "# Representation",
        "",
        "Written by `python -m benchmarks.represent` from `benchmarks/results/represent`.",
        "",
        "```",
        "seqvae embed RUN texts.tsv -o vectors.parquet     # a vector for each text; .npy and .jsonl too",
        "```",
        "",
        (
            "What such a vector is worth: the accuracy of a linear classifier on it, fitted to a training table and measured on "
            f"another, with all of the labels and with {FEW} of each class. The VAE never saw a label and read only its own corpus."
        ),
        "",
    ]
    for path in sorted((RESULTS / "represent").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += [
            f"## {path.stem}",
            "",
            (
                f"{found['classes']} classes, {found['train']} texts to fit, {found['test']} to measure; the most frequent class has "
                f"{100 * found['most_frequent']:.1f} %. The latent has {found['dimension']} dimensions."
            ),
            "",
            f"| vectors | all labels | {FEW} of each class |",
            "|---|---|---|",
        ]
        for name, row in found["accuracy"].items():
            lines.append(f"| {NAMES[name]} | {100 * row['all']:.1f} % | {100 * row['few']:.1f} % |")
        best = max(found["accuracy"], key=lambda name: float(found["accuracy"][name]["all"]))
        if best != "vae":
            lines += ["", f"To classify texts, take this: {NAMES[best]}."]
        lines.append("")
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
