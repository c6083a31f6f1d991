"""The page about a speech run."""

from pathlib import Path
from typing import TYPE_CHECKING

from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.errors import UserError
from seqvae.evaluation.report.html import Html, paragraphs, section
from seqvae.evaluation.report.page import Content
from seqvae.evaluation.report.rate_curve import points_beside, rate_curve
from seqvae.evaluation.report.record import Row, RunRecord
from seqvae.evaluation.report.sections import guard_section, how_it_was_made, verdict_section
from seqvae.evaluation.report.speech_examples import examples_section, gather
from seqvae.evaluation.report.speech_sections import (
    corpus_facts,
    curves_section,
    evaluation_section,
)
from seqvae.evaluation.report.speech_verdict import judge
from seqvae.objectives import LevelRates

if TYPE_CHECKING:
    from seqvae.tasks.speech_model import SpeechModel

UNITS = "Costs in nats of standardised frames, pooled over frames; bit/s are bits of the content's KL a second."
# Split of the recordings one listens to: what the model never saw, as far as there is any.
LISTENED = ("test", "valid", "train")


def speech_content(
    record: RunRecord, given: SpeechCorpus | str | Path | None, examples: int
) -> Content:
    """What the page about a speech run says.

    Args:
        record: the run.
        given: its corpus, where that has moved.
        examples: most conversions to listen to.

    Raises:
        UserError: damaged weights, or a given corpus that is not the run's.
    """
    corpus, why = _corpus(record, given)
    model = _model(record)
    targets = rate_targets(record)
    split, evaluation = _newest(record)
    verdict = judge(evaluation, record.measured, targets.get("bit_rate"))
    sections = [verdict_section(verdict, None)]
    if model is not None and corpus is not None:
        sections.append(_listen(model, corpus, examples))
    shown = evaluation_section(record.evaluations)
    if shown is not None:
        sections.append(shown)
    curve = _rates(record, split, evaluation)
    if curve is not None:
        sections.append(section("rates", "Rate, likeness and words", curve))
    sections += [curves_section(record, targets), guard_section(record)]
    facts = paragraphs(why) if corpus is None else corpus_facts(corpus.meta, corpus.speakers)
    sections.append(how_it_was_made(record, facts))
    objective = type(record.experiment.objective).__name__
    notices = (
        [] if model is not None else ["There are no weights yet: the first validation writes them."]
    )
    return Content(
        f"Speech VAE, objective {objective}", sections, [*notices, *([why] if why else [])], UNITS
    )


def rate_targets(record: RunRecord) -> dict[str, float]:
    """What was asked of the levels, by the names of metrics.jsonl."""
    objective = record.experiment.objective
    if not isinstance(objective, LevelRates):
        return {}
    return {"bit_rate": objective.content, "style": objective.style}


def _listen(model: "SpeechModel", corpus: SpeechCorpus, count: int) -> Html:
    split = next(name for name in LISTENED if len(corpus.split(name)))
    return examples_section(gather(model, corpus, split, count), corpus.settings)


def _newest(record: RunRecord) -> tuple[str, Row | None]:
    """The evaluation of the split that says most: test, else validation."""
    for split in LISTENED:
        if split in record.evaluations:
            return split, record.evaluations[split]
    return "test", None


def _rates(record: RunRecord, split: str, evaluation: Row | None) -> Html | None:
    if evaluation is None:
        return None
    groups = evaluation.get("groups")
    points = points_beside(record.path, record.facts.get("data_fingerprint"), split)
    return rate_curve(
        points, groups if isinstance(groups, dict) else {}, record.path.resolve().name
    )


def _model(record: RunRecord) -> "SpeechModel | None":
    from seqvae.training.load import load_speech

    return None if record.best is None else load_speech(record.path)


def _corpus(
    record: RunRecord, given: SpeechCorpus | str | Path | None
) -> tuple[SpeechCorpus | None, str]:
    """The corpus, or why there is none."""
    wanted = record.facts.get("data_fingerprint")
    if given is not None:
        corpus = given if isinstance(given, SpeechCorpus) else SpeechCorpus.open(Path(given))
        if corpus.fingerprint != wanted:
            raise UserError(
                f"{corpus.path}: not the corpus that {record.path} was trained on; give that one"
            )
        return corpus, ""
    place = record.experiment.data
    try:
        corpus = SpeechCorpus.open(Path(place))
    except UserError as error:
        return None, (
            f"The corpus {place} that this run was trained on cannot be opened, so there is nothing to listen "
            f"to in this report ({error}). If it was moved, name its new place to seqvae report."
        )
    if corpus.fingerprint != wanted:
        return None, (
            f"The corpus {place} was prepared anew since this run was trained on it, so there is nothing to "
            "listen to in this report."
        )
    return corpus, ""
