"""The sections that show what was measured and how the run was made."""

from collections.abc import Mapping
from typing import Any

from seqvae.evaluation.report import figures
from seqvae.evaluation.report.differences import differences
from seqvae.evaluation.report.html import Html, element, join, paragraphs, section, table
from seqvae.evaluation.report.record import Row, RunRecord, number
from seqvae.evaluation.report.verdict import Level, Verdict

_SIGNS: dict[Level, tuple[str, str]] = {
    "good": ("✓", "good"),
    "fair": ("!", "with a reservation"),
    "bad": ("✗", "bad"),
    "none": ("·", "for information"),
}
_ORDER = "train valid test"
_MOST_EVENTS = 40
_MOST_VALIDATIONS = 60

# Name, words, unit, what it means. Fractions are shown in percent.
_MEASURES = [
    ("nll_iw", "Negative log-likelihood", "nats", "lower is better; importance-weighted where there is a latent"),
    ("bits_per_byte", "Bits per byte", "", "the same, comparable across tokenizers"),
    ("perplexity_word", "Perplexity per word", "", "the same, per whitespace word and end"),
    ("elbo", "Negative ELBO", "nats", "the bound that is trained, never below the first row"),
    ("reconstruction", "Reconstruction", "nats", "what a sentence costs given its latent"),
    ("kl", "KL", "nats", "the rate: what the latent says of a sentence"),
    ("mi", "Mutual information", "nats", "how well sentences are told apart"),
    ("mi_cap", "Its cap", "nats", "ln of the number of sentences"),
    ("prior_gap", "Prior gap", "nats", "lost with a latent that is not the sentence's own"),
    ("au", "Active units", "", "dimensions whose mean varies"),
    ("dimension", "Dimensions", "", "of the latent"),
    ("token_accuracy", "Token accuracy", "%", "first choice given the true beginning"),
    ("exact_match", "Exact match", "%", "greedy, from the posterior mean"),
    ("bleu", "BLEU", "", "greedy, from the posterior mean, in percent"),
]  # fmt: skip
_COUNTS = {"au", "dimension"}


def verdict_section(verdict: Verdict, measured: Row | None) -> Html:
    """What to think of the run, and why."""
    items = []
    for reason in verdict.reasons:
        sign, meaning = _SIGNS[reason.level]
        mark = element("span", sign, class_=f"sign {reason.level}", role="img", aria_label=meaning)
        items.append(element("li", mark, element("span", reason.words)))
    return element(
        "section",
        element("h2", verdict.headline, id="verdict-title"),
        _tiles(measured) if verdict.reasons and measured else "",
        element("ul", *items, class_="reasons") if items else "",
        element("p", element("b", "What to do: "), verdict.advice) if verdict.advice else "",
        id="verdict",
        class_=verdict.level,
        aria_labelledby="verdict-title",
    )


def _tiles(measured: Row) -> Html:
    def tile(name: str, value: str, unit: str, part: float | None = None) -> Html:
        bar: object = ""
        if part is not None:
            width = 100 * min(1.0, max(0.0, part))
            bar = element(
                "span",
                element("span", style=f"width:{width:.0f}%"),
                class_="bar",
                aria_hidden="true",
            )
        return element(
            "div", element("dt", name), element("dd", element("b", value), f" {unit}", bar)
        )

    kl, mi, cap, gap, active, size = (
        float(measured[name])
        for name in ("kl", "mi", "mi_cap", "prior_gap", "active_units", "dimensions")
    )
    tiles = [
        tile("KL", f"{kl:.2f}", "nats"),
        tile("Mutual information", f"{mi:.2f}", f"of {cap:.2f} nats", mi / cap if cap else 0.0),
        tile("Prior gap", f"{gap:.1f}", "nats"),
        tile("Active units", f"{active:.0f}", f"of {size:.0f}", active / size if size else 0.0),
    ]
    bound = number(measured.get("bound"))
    if bound is not None:
        tiles.append(tile("A sentence costs", f"{bound:.1f}", "nats"))
    return element("dl", *tiles, class_="tiles")


def curves_section(run: RunRecord) -> Html:
    """The curves, and the validations as a table."""
    drawn = [
        drawing
        for drawing in (
            figures.likelihood(run),
            figures.rate(run),
            figures.information(run),
            figures.dimensions(run),
        )
        if drawing is not None
    ]
    if not drawn:
        return section("training", "Training", paragraphs("Nothing has been logged yet."))
    more = [figures.optimiser(run), _validations(run.valid) if run.valid else None]
    details = element(
        "details",
        element("summary", "The optimiser, and all validations as a table"),
        *(part for part in more if part is not None),
    )
    shown = element("div", *drawn, class_="figures")
    return section("training", "Training", shown, details)


def _validations(rows: list[Row]) -> Html:
    columns = [
        ("bound", "Bound"), ("elbo", "-ELBO"), ("reconstruction", "Reconstruction"), ("kl", "KL"),
        ("mi", "MI"), ("mi_cap", "MI cap"), ("prior_gap", "Prior gap"),
        ("active_units", "Active units"),
    ]  # fmt: skip
    columns = [column for column in columns if any(column[0] in row for row in rows)]
    every = -(-len(rows) // _MOST_VALIDATIONS)
    kept = rows[::-1][::every][::-1]
    cells = [
        (
            f"{row['step']:,.0f}",
            *(_figure(row.get(name), 0 if name == "active_units" else 2) for name, _ in columns),
        )
        for row in kept
    ]
    which = "" if every == 1 else f", every {every}th"
    return table(
        f"Validations, nats a sequence{which}",
        ["Step", *(head for _, head in columns)],
        cells,
        numbers=range(len(columns) + 1),
    )


def evaluation_section(evaluations: Mapping[str, Row]) -> Html | None:
    """What `seqvae evaluate` measured, if it was run."""
    if not evaluations:
        return None
    splits = list(evaluations)
    rows = []
    for name, words, unit, meaning in _MEASURES:
        if any(number(evaluations[split].get(name)) is not None for split in splits):
            cells = [_measure(evaluations[split], name, unit) for split in splits]
            rows.append((words, *cells, meaning))
    notes = []
    for split in splits:
        found = evaluations[split]
        count, skipped, samples = (
            number(found.get(name)) for name in ("sequences", "skipped", "samples")
        )
        note = f"Split {split}: {_figure(count, 0)} sentences"
        if samples is not None:
            note += f", K = {samples:,.0f} samples a sentence"
        if skipped:
            note += f"; {skipped:,.0f} too long for the model were left out"
        notes.append(note + ".")
    return section(
        "evaluation",
        "Evaluation",
        table(
            "What seqvae evaluate measured, means over sentences ± their standard error",
            ["Measure", *splits, "Meaning"],
            rows,
            numbers=range(1, len(splits) + 1),
            stack=True,
        ),
        paragraphs(*notes),
    )


def _measure(found: Row, name: str, unit: str) -> str:
    value, error = number(found.get(name)), number(found.get(f"{name}_se"))
    if value is None:
        return "-"
    if unit == "%":
        return f"{100 * value:.1f} %"
    words = _figure(value, 0 if name in _COUNTS else 3 if name == "bits_per_byte" else 2)
    words += f" {unit}" if unit else ""
    return words if error is None else f"{words} ± {error:.2f}"


def _figure(value: object, digits: int) -> str:
    found = number(value)
    return "-" if found is None else f"{found:,.{digits}f}"


def guard_section(run: RunRecord) -> Html:
    """What the guard said."""
    if run.is_language_model:
        words = "There is no latent to guard."
    elif run.experiment.training.guard == "off":
        words = "The guard was off (--training.guard off)."
    elif not run.guard:
        words = "It had nothing to say: no validation looked like a collapse."
    else:
        words = ""
    parts: list[object] = [paragraphs(words)]
    if run.guard:
        shown = run.guard[-_MOST_EVENTS:]
        rows = [
            (f"{row['step']:,.0f}", row.get("event", ""), row.get("words") or _norm(row))
            for row in shown
        ]
        title = "What happened"
        if len(shown) < len(run.guard):
            title += f" (the last {len(shown)} of {len(run.guard)} events)"
        parts.append(table(title, ["Step", "Event", "In words"], rows, stack=True))
    return section("guard", "The guard's log", *parts)


def _norm(row: Row) -> str:
    return f"the gradient's norm was {row['norm']}" if "norm" in row else ""


def making_section(run: RunRecord, corpus: Mapping[str, Any] | None, why: str) -> Html:
    """The command, the versions, the settings, the data of a text run.

    Args:
        run: the run.
        corpus: content of the corpus's dataset.json, or None.
        why: why there is none, for the reader.
    """
    return how_it_was_made(run, _data(corpus) if corpus is not None else paragraphs(why))


def how_it_was_made(run: RunRecord, data: Html) -> Html:
    """The command, the versions, the settings, and what `data` tells of the data."""
    facts = run.facts
    command = element("pre", element("code", facts.get("command", "(not recorded)")))
    versions = [
        (name, facts[key])
        for key, name in (
            ("seqvae", "seqvae"), ("torch", "torch"), ("python", "Python"), ("machine", "Machine"),
        )
        if key in facts
    ]  # fmt: skip
    if run.tokens_per_second is not None:
        versions.append(("Speed", f"{run.tokens_per_second:,.0f} tokens a second"))
    nearest, changed = differences(run.experiment)
    if changed:
        settings: Html = table(
            f"Settings that differ from the preset {nearest}",
            ["Setting", f"Preset {nearest}", "This run"],
            [
                (element("code", name), element("code", there), element("code", here))
                for name, there, here in changed
            ],
        )
    else:
        settings = paragraphs(f"All settings are those of the preset {nearest}.")
    return section(
        "making",
        "How it was made",
        element("h3", "Command"),
        command,
        table("Versions", ["What", "Which"], versions),
        element("h3", "Settings"),
        settings,
        element("h3", "Data"),
        data,
    )


def _data(meta: Mapping[str, Any]) -> Html:
    names = {"sequences": "Sentences", "tokens": "Tokens", "words": "Words", "bytes": "Bytes"}
    splits = dict(sorted(meta.get("splits", {}).items(), key=lambda item: _ORDER.find(item[0])))
    rows = [
        (name, *(_figure(split.get(key), 0) for key in names)) for name, split in splits.items()
    ]
    counts = meta.get("counts", {})
    left_out = [
        f"{value:,} {reason}"
        for kind in ("dropped", "skipped")
        for reason, value in counts.get(kind, {}).items()
        if value
    ]
    sources = [str(source.get("name")) for source in meta.get("sources", [])]
    facts = [
        f"{meta.get('tokenizer', {}).get('vocab_size', 0):,} pieces in the tokenizer.",
        join(["Read from ", join((element("code", s) for s in sources[:8]), ", "), "."])
        if sources
        else "",
        f"Left out: {', '.join(left_out)}." if left_out else "",
        join(["Fingerprint ", element("code", str(meta.get("fingerprint"))[:16]), "."]),
    ]
    return join([
        table("The corpus", ["Split", *names.values()], rows, numbers=range(1, 5)),
        paragraphs(*facts),
    ])  # fmt: skip
