"""The page about a run on frames of numbers."""

import base64
import io
from pathlib import Path

import numpy as np

from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.sequences import Floats
from seqvae.errors import UserError
from seqvae.evaluation.report.examples import LatentMap, principal_axes
from seqvae.evaluation.report.html import Html, element, figure, paragraphs, section, table
from seqvae.evaluation.report.latent_map import latent_map
from seqvae.evaluation.report.page import Content
from seqvae.evaluation.report.record import RunRecord
from seqvae.evaluation.report.sections import (
    curves_section,
    evaluation_section,
    guard_section,
    how_it_was_made,
    verdict_section,
)
from seqvae.evaluation.report.verdict import judge
from seqvae.objectives import RateTarget
from seqvae.tasks.frames_model import FramesModel
from seqvae.tasks.picture import contact_sheet, in_rows, write_picture

UNITS = "All terms in nats a sequence, summed over frames and their numbers and averaged over sequences."
# Of the map, and of a row of pictures.
_MOST, _COLUMNS = 1000, 12


def frames_content(
    record: RunRecord, given: FramesCorpus | str | Path | None, samples: int, seed: int
) -> Content:
    """What the page about a run on frames says; arguments as of `write_report`.

    Raises:
        UserError: damaged weights, or a given corpus that is not the run's.
    """
    from seqvae.training.load import load_frames

    corpus, why = _corpus(record, given)
    model = None if record.best is None else load_frames(record.path)
    objective = record.experiment.objective
    verdict = judge(
        record.measured,
        latent=not record.is_language_model,
        target=objective.rate if isinstance(objective, RateTarget) else None,
    )
    sections = [_of_frames(verdict_section(verdict, record.measured))]
    evaluation = evaluation_section(record.evaluations)
    if evaluation is not None:
        sections.append(_of_frames(evaluation))
    sections.append(_of_frames(curves_section(record)))
    if model is not None:
        sections.append(_pictures(model, corpus, samples, seed))
        drawn = None if corpus is None else _map(model, corpus)
        if drawn is not None:
            sections.append(section("map", "A map of the latent", _of_frames(drawn)))
    data = paragraphs(why) if corpus is None else _data(corpus)
    sections += [guard_section(record), how_it_was_made(record, data)]
    notices = [why] if why else []
    if model is None:
        notices.append(
            "There are no weights yet (the first validation writes them), so the model could not write "
            "anything."
        )
    name = type(objective).__name__
    kind = (
        "Frames without a latent" if record.is_language_model else f"Frames VAE, objective {name}"
    )
    return Content(kind, sections, notices, UNITS)


def _of_frames(markup: Html) -> Html:
    """The words of a section on texts, said of frames."""
    for text, frames in (("sentence", "sequence"), ("a language model", "without a latent")):
        markup = Html(markup.replace(text, frames))
    return markup


def _corpus(
    record: RunRecord, given: FramesCorpus | str | Path | None
) -> tuple[FramesCorpus | None, str]:
    """The corpus, or why there is none."""
    if given is not None:
        corpus = given if isinstance(given, FramesCorpus) else FramesCorpus.open(given)
        if corpus.fingerprint != record.facts.get("data_fingerprint"):
            raise UserError(
                f"{corpus.path}: is not what {record.path} was trained on; give the corpus that it was"
            )
        return corpus, ""
    place = record.experiment.data
    try:
        corpus = FramesCorpus.open(place)
    except UserError as error:
        return None, (
            f"The corpus {place} that this run was trained on cannot be opened, so there is nothing of it in "
            f"this report ({error}). If it was moved, name its new place to seqvae report."
        )
    if corpus.fingerprint != record.facts.get("data_fingerprint"):
        return None, (
            f"The corpus {place} was prepared anew since this run was trained on it, so there is nothing of it in "
            "this report."
        )
    return corpus, ""


def _held_out(corpus: FramesCorpus, most: int) -> tuple[list[Floats], list[str] | None]:
    """Sequences of the validation split, spread over it, and their labels where all have one."""
    store = corpus.split("valid")
    if not len(store):
        store = corpus.split("train")
    chosen = np.unique(np.linspace(0, len(store) - 1, min(most, len(store))).astype(int))
    numbers = store.labels[chosen]
    names = [corpus.labels[number] for number in numbers] if (numbers >= 0).all() else None
    return [store.sequence(int(i)) for i in chosen], names


def _pictures(model: FramesModel, corpus: FramesCorpus | None, samples: int, seed: int) -> Html:
    limits = model.info["range"]
    has_latent = model.model.latent is not None
    shown = []
    if corpus is not None and has_latent:
        given, names = _held_out(corpus, min(samples, _COLUMNS))
        told = names if model.conditional else None
        rows = [given, model.reconstruct(given, told)]
        shown.append(
            figure(
                "Held-out sequences over their reconstructions",
                _picture(contact_sheet(rows, *limits), "Held-out sequences and reconstructions."),
                "Frames are rows of grey pixels. What the lower row has lost, z does not hold, or the likelihood "
                "does not ask for.",
            )
        )
        walk = model.interpolate(given[0], given[-1], _COLUMNS, told and [told[0], told[-1]])
        shown.append(
            figure(
                "From the first to the last of them",
                _picture(contact_sheet([walk], *limits), "A walk through the latent."),
                "Decoded along the arc between their posterior means.",
            )
        )
    drawn = model.sample(4 * _COLUMNS, seed=seed, draw=not has_latent)
    shown.append(
        figure(
            "New sequences",
            _picture(contact_sheet(in_rows(drawn, _COLUMNS), *limits), "Samples of the prior."),
            "z from the prior; what is shown is the mean of what the model expects."
            if has_latent
            else "Drawn frame by frame.",
        )
    )
    return section("pictures", "What it writes", element("div", *shown, class_="figures"))


def _picture(sheet: np.ndarray, words: str) -> Html:
    stream = io.BytesIO()
    write_picture(stream, sheet)
    data = base64.b64encode(stream.getvalue()).decode()
    style = "width:100%;height:auto;image-rendering:pixelated"
    return Html(f'<img src="data:image/png;base64,{data}" alt="{words}" style="{style}">')


def _map(model: FramesModel, corpus: FramesCorpus) -> Html | None:
    if model.model.latent is None or model.model.latent.dimension < 2:
        return None
    given, names = _held_out(corpus, _MOST)
    if len(given) < 3:
        return None
    points, explained = principal_axes(
        model.encode(given, names if model.conditional else None).astype(np.float64)
    )
    labels = None if names is None else [corpus.labels.index(name) for name in names]
    lengths = np.array([len(values) for values in given], float)
    texts = names or [f"{len(values)} frames" for values in given]
    return latent_map(LatentMap(texts, points, explained, lengths, labels), corpus.labels)


def _data(corpus: FramesCorpus) -> Html:
    rows = [
        (name, f"{split['sequences']:,}", f"{split['frames']:,}")
        for name, split in corpus.meta["splits"].items()
    ]
    words = (
        f"Up to {corpus.longest} frames of {corpus.features} numbers from {corpus.least:g} to "
        f"{corpus.greatest:g}; {len(corpus.labels)} labels."
    )
    left = ", ".join(f"{count:,} {reason}" for reason, count in corpus.meta["skipped"].items())
    heads = ["Split", "Sequences", "Frames"]
    return element(
        "div",
        table("The corpus", heads, rows, numbers=(1, 2)),
        paragraphs(words, f"Left out: {left}." if left else ""),
    )
