"""From a run's folder to its page."""

from pathlib import Path

from seqvae.data.corpus import Corpus
from seqvae.errors import UserError
from seqvae.evaluation.report.examples import Examples, gather
from seqvae.evaluation.report.html import Html, section
from seqvae.evaluation.report.latent_map import latent_map
from seqvae.evaluation.report.page import page
from seqvae.evaluation.report.record import RunRecord, read_run
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


def write_report(
    run: str | Path,
    *,
    corpus: Corpus | str | Path | None = None,
    out: str | Path | None = None,
    samples: int = 12,
    seed: int = 0,
) -> Path:
    """Write one self-contained HTML page about a run, finished or still training.

    Args:
        run: folder that `seqvae train` writes.
        corpus: where its sentences come from; by default the corpus that the run was trained on,
            and if that is gone or was changed, the page is made without sentences and says so.
        out: file to write, RUN/report.html by default.
        samples: sentences shown of each kind.
        seed: fixes which sentences, and everything random; the same run gives the same page.

    Returns:
        The file that was written.

    Raises:
        UserError: not a run, damaged weights, a given corpus that is not the run's, or a place that
            cannot be written to.
    """
    if samples < 1:
        raise UserError(f"report: samples is {samples}; it must be 1 or more")
    path = Path(run)
    record = read_run(path)
    model = _model(record)
    data, why = _corpus(record, corpus)
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
    document = page(path.resolve().name, _facts(record), _notices(record, model, why), sections)
    return _write(document, Path(out) if out is not None else path / "report.html")


def _model(record: RunRecord) -> TextModel | None:
    """The best weights, or None before there are any."""
    from seqvae.training.checkpoint import load

    if record.best is None:
        return None
    model = load(record.path)
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


def _facts(record: RunRecord) -> list[str]:
    experiment = record.experiment
    kind = (
        "Language model"
        if record.is_language_model
        else f"Text VAE, objective {type(experiment.objective).__name__}"
    )
    facts = [f"{kind}, seed {experiment.seed}, trained on {experiment.data}"]
    state = f"{record.step:,} steps logged"
    if record.best is not None and record.best["step"] is not None:
        state += f"; what follows is of the best weights, of step {record.best['step']:,}"
    return [*facts, f"{state}."]


def _notices(record: RunRecord, model: TextModel | None, why: str) -> list[str]:
    notices = []
    if not record.finished:
        notices.append(
            "This run has not come to its last step: it is still training, was interrupted, or "
            "stopped early. Run seqvae report again for a newer page."
        )
    if model is None:
        notices.append(
            "There are no weights yet (the first validation writes them), so the model could not "
            "write anything."
        )
    if why:
        notices.append(why)
    if record.damaged:
        notices.append(f"{record.damaged} lines of the logs could not be read and were left out.")
    return notices


def _write(document: str, out: Path) -> Path:
    """Write the file whole or not at all."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_text(document, encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"{out}: cannot write the report ({error.strerror}); name another file with --out"
        ) from error
    return out
