"""From a run's folder to its page."""

from pathlib import Path
from typing import TYPE_CHECKING

from seqvae.data.corpus import Corpus
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.errors import UserError
from seqvae.evaluation.report.page import Content, page
from seqvae.evaluation.report.record import RunRecord, read_run
from seqvae.evaluation.report.text_page import text_content

if TYPE_CHECKING:
    from seqvae.data.speech.corpus import SpeechCorpus


def write_report(
    run: str | Path,
    *,
    corpus: "Corpus | SpeechCorpus | FramesCorpus | str | Path | None" = None,
    out: str | Path | None = None,
    samples: int = 12,
    seed: int = 0,
) -> Path:
    """Write one self-contained HTML page about a run, finished or still training.

    Args:
        run: folder that `seqvae train` writes.
        corpus: where its sentences or recordings come from; by default the corpus that the run was
            trained on, and if that is gone or was changed, the page is made without them and says so.
        out: file to write, RUN/report.html by default.
        samples: sentences shown of each kind; of a speech run at most a third as many conversions.
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
    content = _content(record, corpus, samples, seed)
    document = page(
        path.resolve().name, _facts(record, content.kind), _notices(record, content), content
    )
    return _write(document, Path(out) if out is not None else path / "report.html")


def _content(
    record: RunRecord,
    corpus: "Corpus | SpeechCorpus | FramesCorpus | str | Path | None",
    samples: int,
    seed: int,
) -> Content:
    kind = record.experiment.kind
    if corpus is not None and not isinstance(corpus, (str, Path)):
        found = "text" if isinstance(corpus, Corpus) else "frames"
        if not isinstance(corpus, (Corpus, FramesCorpus)):
            found = "speech"
        if found != kind:
            raise UserError(f"{corpus.path}: {record.path} is a {kind} run; give its own corpus")
    if kind == "frames":
        from seqvae.evaluation.report.frames_page import frames_content

        return frames_content(record, corpus, samples, seed)  # type: ignore[arg-type]
    if kind == "speech":
        from seqvae.evaluation.report.speech_page import speech_content

        return speech_content(record, corpus, -(-samples // 3))  # type: ignore[arg-type]
    return text_content(record, corpus, samples, seed)  # type: ignore[arg-type]


def _facts(record: RunRecord, kind: str) -> list[str]:
    experiment = record.experiment
    facts = [f"{kind}, seed {experiment.seed}, trained on {experiment.data}"]
    state = f"{record.step:,} steps logged"
    if record.best is not None and record.best["step"] is not None:
        state += f"; what follows is of the best weights, of step {record.best['step']:,}"
    return [*facts, f"{state}."]


def _notices(record: RunRecord, content: Content) -> list[str]:
    notices = []
    if not record.finished:
        notices.append(
            "This run has not come to its last step: it is still training, was interrupted, or "
            "stopped early. Run seqvae report again for a newer page."
        )
    notices += content.notices
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
