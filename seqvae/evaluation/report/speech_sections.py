"""The sections about a speech run that show what was measured and how the run was made."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqvae.evaluation.referees.client import absent_words
from seqvae.evaluation.referees.summary import SHOWN
from seqvae.evaluation.report import speech_figures
from seqvae.evaluation.report.html import Html, element, join, paragraphs, section, table
from seqvae.evaluation.report.record import Row, RunRecord, number

# Name, words, format, meaning.
_COSTS = (
    ("elbo_frame", "Negative ELBO", "{:.3f} nats a frame", "what a frame costs, its share of the latents counted"),
    ("reconstruction_frame", "Reconstruction", "{:.3f} nats a frame", "what it costs given the latents"),
    ("bit_rate", "Content", "{:.0f} bit/s", "what the content's latent says of the sound"),
    ("style", "Style", "{:.1f} nats", "what the style says of a recording"),
    ("l1", "L1", "{:.3f} nepers", "mean error of log-mel bins decoded from the means"),
    ("leak", "Leak", "{:.1%}", "speakers guessed from the content by a probe"),
    ("leak_chance", "Chance", "{:.1%}", "what the probe would get by guessing"),
)  # fmt: skip
_GROUPS = {
    "natural": "Natural",
    "unconverted": "Unconverted, against the target",
    "copy synthesis": "Copy synthesis (vocoder alone)",
    "reconstruction": "Reconstruction, own voice",
    "conversion": "Conversion",
}


def evaluation_section(evaluations: Mapping[str, Row]) -> Html | None:
    """What `seqvae evaluate` measured, if it was run."""
    if not evaluations:
        return None
    parts: list[object] = []
    for split, found in evaluations.items():
        parts += [element("h3", f"Split {split}"), *_evaluation(found)]
    return section("evaluation", "Evaluation", *parts)


def _evaluation(found: Row) -> list[object]:
    parts: list[object] = []
    groups, pairs = (_rows(found.get(name)) for name in ("groups", "pairs"))
    if groups:
        order = sorted(groups, key=lambda n: list(_GROUPS).index(n) if n in _GROUPS else 99)
        named = {_GROUPS.get(name, name): groups[name] for name in order}
        parts.append(_judgements("What the referees say, means over recordings", named))
    if len(pairs) > 1:
        parts.append(_judgements("Conversions, by source > target", pairs))
    rows = []
    for name, words, form, meaning in _COSTS:
        value = number(found.get(name))
        if value is not None:
            rows.append((words, form.format(value), meaning))
    if rows:
        count = number(found.get("recordings"))
        size = "" if count is None else f" of {count:,.0f} recordings"
        parts.append(
            table(f"Costs{size}", ["Measure", "Value", "Meaning"], rows, numbers=[1], stack=True)
        )
    if groups:
        parts.append(
            paragraphs(
                "WER and CER: errors of Whisper tiny.en against the known text. To target, to source: cosine of "
                "Resemblyzer's embeddings. Gap closed: 0 % as unlike the target as the source's recordings, 100 % "
                "as like as the target's own. Identified: nearest voice is the target. MCD: spectral distance to "
                "the target's own recording of the sentence, aligned. DNSMOS: quality from 1 to 5, blind to clean "
                "robotic speech."
            )
        )
    missing = found.get("missing")
    if isinstance(missing, dict) and missing:
        parts.append(
            paragraphs(absent_words({str(k): [str(x) for x in v] for k, v in missing.items()}))
        )
    return parts


def _rows(value: object) -> dict[str, Row]:
    """Rows of groups, of what a file may hold."""
    rows = value.items() if isinstance(value, dict) else ()
    return {str(name): row for name, row in rows if isinstance(row, dict)}


def _judgements(title: str, rows: Mapping[str, Row]) -> Html:
    columns = [c for c in SHOWN if any(number(row.get(c)) is not None for row in rows.values())]
    cells = [(name, *(_cell(row, column) for column in columns)) for name, row in rows.items()]
    heads = ["", *(SHOWN[column][0] for column in columns)]
    return table(title, heads, cells, numbers=range(1, len(heads)))


def _cell(row: Row, column: str) -> str:
    value = number(row.get(column))
    return "" if value is None else SHOWN[column][1].format(value)


def curves_section(run: RunRecord, targets: dict[str, float]) -> Html:
    """The curves of training and validation."""
    drawn = speech_figures.drawn(run, targets)
    if not drawn:
        return section("training", "Training", paragraphs("Nothing has been logged yet."))
    return section("training", "Training", element("div", *drawn, class_="figures"))


def corpus_facts(meta: Mapping[str, Any], speakers: Sequence[str]) -> Html:
    """A speech corpus in a table: recordings and hours of each split."""
    rows = []
    splits = meta.get("splits", {})
    for name in ("train", "valid", "test"):
        split = splits.get(name)
        if isinstance(split, dict):
            count, seconds = (number(split.get(key)) for key in ("recordings", "seconds"))
            rows.append((name, _count(count), "-" if seconds is None else f"{seconds / 60:.1f}"))
    most = 12
    named = ", ".join(speakers[:most]) + (", …" if len(speakers) > most else "")
    return join([
        table("The corpus", ["Split", "Recordings", "Minutes"], rows, numbers=(1, 2)),
        paragraphs(f"{len(speakers)} speakers: {named}."),
    ])  # fmt: skip


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
