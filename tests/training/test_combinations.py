"""Every objective with every posterior, every prior and every kind of data: it trains, or is refused in words.

The members are those of the choice lists, each with its options. Objective x posterior x prior x {text, frames} is gone through
whole, not sampled; with labels, every pair of members with the rest as usual; of speech, every objective with every prior of the
style. What goes together takes two steps of a training; what does not names both members and says why.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae import decoders, encoders
from seqvae.config import Experiment, Model
from seqvae.config_frames import Frames
from seqvae.data.corpus import Corpus
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.errors import UserError
from seqvae.objectives import Elbo, ObjectiveChoice, RateTarget
from seqvae.objectives.pairs import flag
from seqvae.posteriors import PosteriorChoice
from seqvae.priors import PriorChoice, StylePriorChoice
from seqvae.training import Trainer
from tests.laws import variants
from tests.test_laws import label
from tests.training.runs import experiment, lines
from tests.training.speech_runs import SPEECH, speech_experiment

# Floors are 0 by default, and what they are over would not matter.
OBJECTIVES = [
    replace(objective, floor=0.5) if isinstance(objective, RateTarget) else objective
    for objective in variants(ObjectiveChoice)
]
POSTERIORS, PRIORS = variants(PosteriorChoice), variants(PriorChoice)
TINY: dict[str, Any] = {
    "encoder": encoders.Gru(width=8, dropout=0.0),
    "decoder": decoders.Gru(width=8, dropout=0.0),
}


@dataclass(frozen=True)
class Member:
    """One member of a combination: what it is called on the command line, of which an error must hold one."""

    name: str
    called: str


def objective_member(objective: Any) -> Member:  # noqa: ANN401
    name = flag(objective)
    called = rf"objective:{name}\b|objective {name}\b|--objective\.|\b{type(objective).__name__}\b"
    return Member(label(objective), called)


def member(place: str, config: Any) -> Member:  # noqa: ANN401
    return Member(label(config), rf"model\.{place}:{flag(config)}\b|--model\.{place}\.")


def outcome(build: Callable[[], Experiment], members: list[Member]) -> str:
    """What is wrong with a combination: nothing, or why neither training nor refusal is as it should be."""
    who = " + ".join(one.name for one in members)
    try:
        trainer = Trainer(build())
        try:
            for _ in range(2):
                _, shown = trainer._train_step()
                trainer.step += 1
        finally:
            trainer.log.close()
    except UserError as error:
        named = sum(bool(re.search(one.called, str(error))) for one in members)
        reason = re.search(r"(together|needs|weighs|would not be used|for \w+ use)", str(error))
        return "" if named >= 2 and reason else f"{who}: refused without two names: {error}"
    except Exception as error:  # noqa: BLE001 (what it is, is the finding)
        return f"{who}: {type(error).__name__}: {error}"
    if trainer.skipped or not shown or not all(map(math.isfinite, shown.values())):
        return f"{who}: the loss is not finite: {shown}"
    return ""


def outcomes(
    corpora: dict[str, Path],
    kind: str,
    combinations: Iterable[tuple[Any, Any, Any]],
    run: Path,
    **settings: Any,  # noqa: ANN401 (of the model)
) -> list[str]:
    """What is wrong with combinations of objective, posterior and prior."""
    usual = experiment(Corpus.open(corpora["text"]), run, steps=2)
    extra = [Member("conditional", r"--model\.conditional\b|prior of each label")]
    wrong = []
    for number, (objective, posterior, prior) in enumerate(combinations):
        networks = {"posterior": posterior, "prior": prior, **TINY, **settings}
        where = {"data": str(corpora[kind]), "run": str(run / str(number))}
        members = [
            objective_member(objective),
            member("posterior", posterior),
            member("prior", prior),
            Member(kind, rf"\b{kind}\b"),
        ]
        build = partial(made, usual, kind, networks, objective=objective, **where)
        wrong.append(outcome(build, members + (extra if settings else [])))
    return [words for words in wrong if words]


def made(usual: Experiment, kind: str, networks: dict[str, Any], **changes: Any) -> Experiment:  # noqa: ANN401
    """A run of these networks, with `changes` to the usual one; they may not go together."""
    model = Model(**networks, max_length=32) if kind == "text" else Frames(**networks, batch=20)
    return replace(usual, model=model, **changes)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A corpus of each kind, with labels."""
    folder = tmp_path_factory.mktemp("corpora")
    rows = [f"{line}\t{number % 2}" for number, line in enumerate(lines())]
    (folder / "lines.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    given = PrepareText(
        inputs=(str(folder / "lines.tsv"),),
        out=folder / "text",
        columns=("text",),
        label="label",
        vocab_size=60,
        byte_fallback=False,
        valid=0.1,
        test=0.1,
    )
    text = prepare_text(given, say=lambda notice: None)
    values = np.random.default_rng(0).random((60, 4, 3))
    np.savez(folder / "noise.npz", values=values, labels=np.arange(60) % 2)
    frames = prepare_frames(PrepareFrames(inputs=(folder / "noise.npz",), out=folder / "frames"))
    return {"text": text.path, "frames": frames.path}


KINDS = pytest.mark.parametrize("kind", ["text", "frames"])


@KINDS
@pytest.mark.parametrize("objective", OBJECTIVES, ids=label)
def test_objective_posterior_prior(
    objective: Any,  # noqa: ANN401
    kind: str,
    corpora: dict[str, Path],
    tmp_path: Path,
) -> None:
    every = itertools.product([objective], POSTERIORS, PRIORS)
    assert not outcomes(corpora, kind, every, tmp_path)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("text", {"label_prior": "learned"}),
        ("text", {"label_prior": "shared"}),
        ("frames", {}),
    ],
    ids=["text-learned", "text-shared", "frames"],
)
def test_labels_with_each(
    kind: str, settings: dict[str, Any], corpora: dict[str, Path], tmp_path: Path
) -> None:
    usual = Elbo(), POSTERIORS[0], PRIORS[0]
    # At least one of the three as usual: every pair of members, and no more.
    pairs = [
        combination
        for combination in itertools.product(OBJECTIVES, POSTERIORS, PRIORS)
        if any(one == default for one, default in zip(combination, usual, strict=True))
    ]
    assert not outcomes(corpora, kind, pairs, tmp_path, conditional=True, **settings)


@pytest.mark.parametrize("prior", variants(StylePriorChoice), ids=label)
def test_speech(prior: Any, speech: SpeechCorpus, tmp_path: Path) -> None:  # noqa: ANN401
    wrong = []
    for number, objective in enumerate(OBJECTIVES):
        run = tmp_path / str(number)
        model = replace(SPEECH, style_prior=prior)
        build = partial(speech_experiment, speech, run, model=model, objective=objective, steps=2)
        members = [
            objective_member(objective),
            member("style-prior", prior),
            Member("speech", r"\bspeech\b"),
        ]
        wrong.append(outcome(build, members))
    assert not [words for words in wrong if words]
