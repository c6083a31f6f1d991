"""Everything measured of a speech model on a split of its corpus, in one report."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from seqvae.errors import UserError
from seqvae.evaluation.referees import summary
from seqvae.evaluation.referees.client import absent_words, find_python, judge
from seqvae.evaluation.speech_bound import measure_bound, spread
from seqvae.evaluation.speech_plan import plan
from seqvae.evaluation.speech_trial import Stage
from seqvae.training.speech_validation import leak_probe

if TYPE_CHECKING:
    from seqvae.data.speech.corpus import SpeechCorpus
    from seqvae.tasks.speech_model import SpeechModel

STAMP = "made-by.json"
SOUNDS = ("natural", "copy", "reconstruction", "conversion", "voices")


class SpeechReport(dict[str, Any]):
    """What `evaluate_speech` measured: JSON values by name. `str()` gives the tables.

    Keys: kind ("speech"), split, recordings, speakers; the costs of `measure_bound`; leak (accuracy of a probe
    that guesses the speaker from the content) with leak_chance; conversions, references (conversions of which the
    target said the sentence too); groups and pairs (rows of `referees.summary.groups`: by what was judged, and of
    the conversions by "source > target"); voices (likeness of the speakers to each other); missing (referees that
    are not installed, with their packages); sounds (the folder).
    """

    def __str__(self) -> str:
        return format_speech(self)


def evaluate_speech(
    model: "SpeechModel",
    corpus: "SpeechCorpus",
    split: str = "test",
    *,
    limit: int = 12,
    pairs: int = 12,
    recordings: int | None = 200,
    folder: Path | None = None,
    referees: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> SpeechReport:
    """Measure a speech model on a split: costs, leak, and conversions before referees.

    Args:
        model: a trained one.
        corpus: what it was trained on.
        split: name of the split.
        limit: recordings converted for each pair of speakers; 0: none, and no referee is asked.
        pairs: most ordered pairs of speakers.
        recordings: most recordings whose cost is measured; None for all.
        folder: where the sounds are kept, for listening and for the next time; by default nowhere.
        referees: a Python that has the referees (see `make eval-env`); by default a checkout's own, else this
            one. Those that it lacks are left out and listed in `missing`.
        seed: fixes everything random.
        progress: show bars on standard error.

    Raises:
        UserError: no such split, nothing in it, a number out of range, a corpus with other mel settings or
            other speakers than those in the model's table, or the referees' Python fails.
    """
    check_corpus(model, corpus)
    if limit < 0 or pairs < 1 or (recordings is not None and recordings < 1):
        raise UserError(
            f"evaluate: limit {limit}, pairs {pairs}, recordings {recordings}; limit must be at least 0, "
            "the others 1"
        )
    store = corpus.split(split)
    if not len(store):
        raise UserError(f"{corpus.path}: split {split!r} has no recordings")
    chosen = spread(len(store), recordings)
    report = SpeechReport(
        kind="speech", split=split, recordings=len(chosen), speakers=list(corpus.speakers)
    )
    bar = tqdm(chosen, desc=f"evaluate {split}", unit="recording", disable=not progress)
    report |= measure_bound(model.model, store, bar, seed)
    report |= _leak(model, corpus, split)
    if limit:
        with _kept(folder) as place:
            report |= _judged(model, corpus, split, limit, pairs, place, referees, progress)
        report["sounds"] = None if folder is None else folder.name
    return report


def check_corpus(model: "SpeechModel", corpus: "SpeechCorpus") -> None:
    """Refuse recordings that the model cannot read, or whose speakers its table does not have.

    Raises:
        UserError: names what differs.
    """
    ours, theirs = asdict(model.settings), asdict(corpus.settings)
    for name, value in ours.items():
        if theirs[name] != value:
            raise UserError(
                f"{corpus.path} has mel settings with {name} {theirs[name]}, but the run was trained on {name} "
                f"{value}: prepare the recordings with --mel.{name.replace('_', '-')} {value}, or give the "
                "corpus of the run"
            )
    if model.model.labels is not None and corpus.train_speakers != model.speakers:
        raise UserError(
            f"{corpus.path} has the speakers {', '.join(corpus.train_speakers):.80}, but those in the run's "
            f"table are {', '.join(model.speakers):.80}: give the corpus of the run"
        )


def _leak(model: "SpeechModel", corpus: "SpeechCorpus", split: str) -> dict[str, float]:
    if len(corpus.train_speakers) < 2:
        return {}
    return leak_probe(model.model, corpus.split(split))


def _judged(
    model: "SpeechModel",
    corpus: "SpeechCorpus",
    split: str,
    limit: int,
    pairs: int,
    folder: Path,
    referees: str | Path | None,
    progress: bool,
) -> dict[str, Any]:
    store = corpus.split(split)
    targets = range(len(corpus.train_speakers))
    conversions = plan(store, targets, limit=limit, pairs=pairs)
    if not conversions:
        return {"conversions": 0}
    _clear(folder, _origin(model, corpus, split))
    stage = Stage(model, corpus, split, folder)
    with tqdm(total=len(conversions), desc="convert", disable=not progress) as bar:
        trial = stage.trial(conversions, lambda done, total: bar.update())
    python = referees or find_python()
    if progress:
        print(f"asking the referees of {python} about {len(trial.items)} sounds", file=sys.stderr)
    found = judge(trial.items, trial.voices, out=folder / "referees.json", python=python)
    return {
        "conversions": len(conversions),
        "references": sum(c.reference is not None for c in conversions),
        "groups": found["groups"],
        "pairs": by_pair(found["items"]),
        "voices": found["voices"],
        "missing": found["missing"],
    }


def by_pair(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of the conversions by "source > target"."""
    regrouped = [
        {**a, "item": {**a["item"], "group": f"{a['item']['source']} > {a['item']['target']}"}}
        for a in answers
        if a["item"]["group"] == "conversion"
    ]
    return summary.groups(regrouped)


@contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def _origin(model: "SpeechModel", corpus: "SpeechCorpus", split: str) -> dict[str, str]:
    """What the sounds depend on."""
    weights = hashlib.sha256()
    for module in (model.model, model.vocoder):
        for name, value in sorted(module.state_dict().items()):
            weights.update(name.encode())
            weights.update(value.detach().cpu().contiguous().numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "vocoder": repr(model.vocoder),
        "data": corpus.fingerprint,
        "split": split,
    }


def _clear(folder: Path, origin: Mapping[str, str]) -> None:
    """Delete sounds that another model, or this one earlier in its training, has made."""
    stamp = folder / STAMP
    try:
        same = json.loads(stamp.read_text(encoding="utf-8")) == dict(origin)
    except (OSError, ValueError):
        same = False
    if not same:
        for name in SOUNDS:
            shutil.rmtree(folder / name, ignore_errors=True)
        stamp.write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")


def format_speech(report: Mapping[str, Any]) -> str:
    """The report as tables in words."""

    def with_error(name: str, digits: int, unit: str) -> str:
        error = report.get(f"{name}_se")
        beside = "" if error is None else f"  ± {error:.{digits}f}"
        return f"{report[name]:9.{digits}f} {unit}{beside}"

    rows = [
        (
            "recordings",
            f"{report['recordings']} of split {report['split']}, {report['seconds']:.0f} s",
        ),
        ("negative ELBO", with_error("elbo_frame", 3, "nats a frame")),
        ("  reconstruction", with_error("reconstruction_frame", 3, "nats a frame")),
        ("  content, its rate", with_error("bit_rate", 1, "bit/s")),
    ]
    if "style" in report:
        rows.append(("  style", with_error("style", 2, "nats a recording")))
    rows.append(("L1 of log-mel frames", with_error("l1", 4, "nepers")))
    if "leak" in report:
        chance = f"of speakers guessed from the content  (chance {report['leak_chance']:.1%})"
        rows.append(("leak", f"{report['leak']:9.1%} {chance}"))
    width = max(len(name) for name, _ in rows)
    parts = ["\n".join(f"{name:<{width}}  {value}" for name, value in rows)]
    if report.get("groups"):
        parts.append(
            f"{report['conversions']} conversions, {report['references']} of them of sentences that the "
            f"target said too\n\n{summary.table(report['groups'])}"
        )
        if len(report["pairs"]) > 1:
            parts.append(summary.table(report["pairs"]))
    if report.get("missing"):
        parts.append(absent_words(report["missing"]))
    return "\n\n".join(parts)
