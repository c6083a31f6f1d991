"""The page about a text run."""

from pathlib import Path

from seqvae.data.corpus import Corpus
from seqvae.errors import UserError
from seqvae.evaluation.report.examples import Examples, gather
from seqvae.evaluation.report.html import Html, section
from seqvae.evaluation.report.latent_map import latent_map
from seqvae.evaluation.report.page import Content
from seqvae.evaluation.report.record import RunRecord
from seqvae.evaluation.report.sections import (
    curves_section,
    evaluation_section,
    guard_section,
    making_section,
    verdict_section,
)
from seqvae.evaluation.report.sentences import sentence_sections
from seqvae.evaluation.report.verdict import judge
from seqvae.objectives import RateTarget
from seqvae.tasks.text_model import TextModel

UNITS = "All terms in nats a sequence, summed over tokens (end token counted) and averaged over sentences."


def text_content(
    record: RunRecord, given: Corpus | str | Path | None, samples: int, seed: int
) -> Content:
    """What the page about a text run says; arguments as of `write_report`.

    Raises:
        UserError: damaged weights, or a given corpus that is not the run's.
    """
    model = _model(record)
    data, why = _corpus(record, given)
    latent, pairs = not record.is_language_model, bool(record.facts.get("pairs"))
    found = None
    if model is not None:
        store = None if data is None else data.split("valid")
        found = gather(model, store, samples=samples, seed=seed)
    sections = [_verdict(record, found), curves_section(record)]
    if found is not None and model is not None:
        if found.map is not None and data is not None:
            drawn = latent_map(found.map, data.labels)
            sections.append(section("map", "A map of the latent", drawn))
        sections += sentence_sections(found, model.tokenizer, latent=latent, pairs=pairs)
    evaluation = evaluation_section(record.evaluations)
    if evaluation is not None:
        sections.insert(1, evaluation)
    meta = None if data is None else data.meta
    sections += [guard_section(record), making_section(record, meta, why)]
    objective = type(record.experiment.objective).__name__
    kind = "Language model" if record.is_language_model else f"Text VAE, objective {objective}"
    notices = []
    if model is None:
        notices.append(
            "There are no weights yet (the first validation writes them), so the model could not "
            "write anything."
        )
    if why:
        notices.append(why)
    return Content(kind, sections, notices, UNITS)


def _model(record: RunRecord) -> TextModel | None:
    """The best weights, or None before there are any."""
    from seqvae.training.load import load_text

    if record.best is None:
        return None
    model = load_text(record.path)
    model.crop = True
    return model


def _corpus(record: RunRecord, given: Corpus | str | Path | None) -> tuple[Corpus | None, str]:
    """The corpus, or why there is none."""
    if given is not None:
        corpus = given if isinstance(given, Corpus) else Corpus.open(given)
        tokenizer = record.path / "tokenizer.model"
        if tokenizer.is_file() and tokenizer.read_bytes() != corpus.tokenizer.model:
            raise UserError(
                f"{corpus.path}: its tokenizer is not that of {record.path}; give the corpus that "
                "the run was trained on"
            )
        return corpus, ""
    place = record.experiment.data
    try:
        corpus = Corpus.open(place)
    except UserError as error:
        return None, (
            f"The corpus {place} that this run was trained on cannot be opened, so there are no "
            f"sentences of it in this report ({error}). "
            "If it was moved, name its new place to seqvae report."
        )
    if corpus.fingerprint != record.facts.get("data_fingerprint"):
        return None, (
            f"The corpus {place} was prepared anew since this run was trained on it, so there are "
            "no sentences of it in this report."
        )
    return corpus, ""


def _verdict(record: RunRecord, found: Examples | None) -> Html:
    objective = record.experiment.objective
    again = found.reconstruction if found is not None else None
    verdict = judge(
        record.measured,
        latent=not record.is_language_model,
        target=objective.rate if isinstance(objective, RateTarget) else None,
        exact=None if again is None else (again.exact, again.total),
        accuracy=None if again is None else again.accuracy,
    )
    return verdict_section(verdict, record.measured)
