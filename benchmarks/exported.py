"""A bundle against the run it was made of: the same texts on a thousand inputs, in every way of writing.

    python -m benchmarks.exported RUN BUNDLE [--rows=1000]

Texts of the run's test split, and those that break tokenizers (empty, CJK, emoji, longer than the model reads), are written
greedily by PyTorch and by ONNX Runtime, and a part of them with noise, sampled and by beam.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.record import ledger, write_result
from seqvae.data.text import EOS
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.golden import ODD, STYLES, Case, corpus_sentences, write_with_torch
from seqvae.export.verify import logits_error
from seqvae.serving import Engine, Options, Row
from seqvae.training import load

TARGETS = {"logits": 1e-5, "greedy": 1.0, "sampled": 0.999, "beam score": 1e-4, "alone": 1.0}
BATCH = 50
# A language of its own, or the script, of each: what a model never saw goes through byte pieces.
FOREIGN = (
    "我今天很高兴。",
    "これはペンです。",
    "한국어 문장입니다.",
    "Привет, как дела?",
    "أين المحطة؟",
    "एक छोटा वाक्य।",
    "naïve café déjà vu — «quoted»",
    "👩‍👩‍👧‍👦 🇩🇪 🤷🏽‍♀️",
    "\u200bzero\u200bwidth",
    "tab\tand\nnewline",
)


def texts_of(sentences: list[str], rows: int) -> list[str]:
    """`rows` inputs: those that break tokenizers, mixtures of them with sentences, and sentences.

    Raises:
        UserError: there are too few sentences.
    """
    odd = [*ODD.values(), *FOREIGN, " ".join(sentences * 200)[:20_000], "a " * 400]
    mixed = [f"{o} {s}" for o in odd[:16] for s in sentences[:3]]
    plain = rows - len(odd) - len(mixed)
    if len(sentences) < plain:
        raise UserError(f"the run's test split has {len(sentences)} texts, {plain} are needed")
    return [*odd, *mixed, *sentences[:plain]]


def engine_rows(cases: list[Case]) -> list[Row]:
    """The same rows for the engine."""
    return [Row(case.text, Options(**case.all_options)) for case in cases]  # type: ignore[arg-type]


def shares(engine: Engine, cases: list[Case], wanted: list[Any]) -> dict[str, float]:
    """How many rows are equal, in batches and (of the first ones) alone, and how far log-probabilities are."""
    rows = engine_rows(cases)
    found = [
        one for begin in range(0, len(rows), BATCH) for one in engine.generate(rows[begin:][:BATCH])
    ]
    same = [
        # The engine leaves the end token out.
        [*a.ids, *[EOS] * a.complete] == list(b.ids) and a.text == b.text
        for a, b in zip(found, wanted, strict=True)
    ]
    few = range(0, len(rows), max(1, len(rows) // BATCH))
    alone = [engine.generate([rows[i]])[0].ids == found[i].ids for i in few]
    errors = [
        abs(a.log_prob - b.log_prob) for a, b, s in zip(found, wanted, same, strict=True) if s
    ]
    return {
        "rows": len(rows),
        "equal": float(np.mean(same)),
        "alone_equal": float(np.mean(alone)),
        "log_prob_error": max(errors, default=float("nan")),
        "texts": len({one.text for one in wanted}),
    }


def main(
    run: tyro.conf.Positional[Path],
    bundle: tyro.conf.Positional[Path],
    rows: int = 1000,
    variant: str = "cpu-fp32",
    record: bool = True,
) -> None:
    """Compare a bundle with its run.

    Args:
        run: what `seqvae train` wrote.
        bundle: what `seqvae export` made of it.
        rows: inputs.
        variant: of the bundle; the ledger takes cpu-fp32.
        record: write the result and the ledger's rows.
    """
    model = load(run)
    model.crop = True
    opened = Bundle.open(bundle)
    sentences = list(dict.fromkeys(s for s in corpus_sentences(model, 3 * rows) if s))
    texts = texts_of(sentences, rows)
    measured: dict[str, Any] = {}
    with Engine(opened, variant=variant, provider="cpu", threads=1, crop=True) as engine:
        for name, style in STYLES.items():
            chosen = texts if name in ("greedy", "sampled", "filtered") else texts[:: rows // 200]
            cases = [
                # A seed of its own for each row; styles without noise do not look at it.
                Case(str(i), text, {**style, "seed": 1_000_003 * i - 17})
                for i, text in enumerate(chosen)
            ]
            wanted = write_with_torch(model, cases, opened.beam_size)
            measured[name] = shares(engine, cases, wanted)
            print(name, {k: round(v, 6) for k, v in measured[name].items()}, flush=True)
    greedy = [Case("", text, STYLES["greedy"]) for text in texts[:200]]
    folder = opened.part(variant, "step").parent
    written = write_with_torch(model, greedy, opened.beam_size)
    measured["logits_relative_l2"] = logits_error(model, folder, greedy, written, rows=200)
    print("logits", measured["logits_relative_l2"])
    if not record:
        return
    path = write_result(f"exported_{variant}", {"variant": variant, "styles": measured})
    if variant != "cpu-fp32":
        return
    drawn = [measured[name] for name in ("noise", "sampled", "filtered")]
    figures = {
        "logits": measured["logits_relative_l2"],
        "greedy": measured["greedy"]["equal"],
        "sampled": min(one["equal"] for one in drawn),
        "beam score": measured["beam"]["log_prob_error"],
        "alone": min(one["alone_equal"] for one in measured.values() if isinstance(one, dict)),
    }
    whats = {
        "logits": "relative L2 error of the logits along PyTorch's greedy texts, 200 inputs",
        "greedy": f"share of {rows} inputs with the same greedy tokens in PyTorch and ONNX Runtime",
        "sampled": f"share of rows with the same seeded tokens, {rows} inputs, trained model",
        "beam score": "greatest difference of a beam's log-probability",
        "alone": "share of rows that are the same alone and in a batch",
    }
    small = ("logits", "beam score")
    ledger(
        "C",
        [
            {
                "bar": "1",
                "what": whats[name],
                "target": f"{'<=' if name in small else '>='} {TARGETS[name]}",
                "figure": figures[name],
                "met": figures[name] <= TARGETS[name]
                if name in small
                else figures[name] >= TARGETS[name],
                "result_file": path,
            }
            for name in TARGETS
        ],
    )


if __name__ == "__main__":
    tyro.cli(main)
