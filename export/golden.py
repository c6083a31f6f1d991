"""Inputs whose outputs are known: what PyTorch writes for them, and what every variant must."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from seqvae.config import Experiment
from seqvae.data.corpus import Corpus
from seqvae.data.text import EOS
from seqvae.errors import UserError
from seqvae.export.bundle import Written
from seqvae.export.bundle_manifest import OPTIONS
from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.sampling import COLDEST
from seqvae.tasks.text_model import TextModel

ODD = {
    "empty": "",
    "space": "  \t ",
    "cjk": "今日は天気がいいですね。",
    "emoji": "so happy 😀👍🏽 today",
    "marks": 'what?! "no" -- (never) ... 1,000 %',
    "special": "<s> is not a start </s>",
}
"""Texts that break tokenizers."""
SENTENCES = (
    "she has been living here for three years .",
    "what time does the next train leave ?",
    "i do not know what to say .",
)
"""Where the run's corpus is not at hand."""
STYLES: dict[str, dict[str, float]] = {
    "greedy": {"noise_scale": 0.0},
    "noise": {"seed": 3, "sample": 2},
    "sampled": {"seed": 7, "temperature": 1.0},
    "filtered": {"seed": -5, "sample": 1, "temperature": 0.8, "top_k": 20, "top_p": 0.9},
    "beam": {"beam": True, "noise_scale": 0.0},
    "short": {"noise_scale": 0.0, "max_length": 5},
}
"""Ways to write."""


@dataclass(frozen=True)
class Case:
    """One row to be written: a text, and the options that are not at their defaults."""

    name: str
    text: str
    options: dict[str, float]

    @property
    def all_options(self) -> dict[str, float]:
        """Every option of the row."""
        return {name: self.options.get(name, known.default) for name, known in OPTIONS.items()}

    @property
    def is_greedy(self) -> bool:
        """Whether no token is drawn and no beam is searched."""
        return not self.options.get("beam") and self.options.get("temperature", 0.0) < COLDEST

    @property
    def is_beam(self) -> bool:
        """Whether a beam is searched."""
        return bool(self.options.get("beam"))


def corpus_sentences(model: TextModel, count: int) -> list[str]:
    """Sentences of the test split of the corpus that the run was trained on, where it is at hand.

    Returns:
        up to `count` texts; none when the corpus has moved or is another one.
    """
    experiment = model.info.get("experiment")
    if not isinstance(experiment, Experiment):
        return []
    try:
        corpus = Corpus.open(experiment.data)
        store = corpus.split("test")
    except (UserError, OSError, KeyError):
        return []
    if corpus.fingerprint != model.info.get("data_fingerprint"):
        return []
    picks = np.linspace(0, len(store) - 1, min(count, len(store))).astype(int)
    return [corpus.tokenizer.decode(store.tokens(int(i)).tolist()) for i in picks]


def make_cases(model: TextModel, sentences: Sequence[str]) -> list[Case]:
    """The rows to compare: each odd text and sentence greedily, some in every style.

    Args:
        model: a language model reads no text and has rows of different seeds instead.
        sentences: ordinary texts.
    """
    if model.model.latent is None:
        # Greedy is one text only without z.
        styles = {name: style for name, style in STYLES.items() if name not in ("noise", "short")}
        rows = [(name, {"seed": 0} | style) for name, style in styles.items()]
        rows += [
            (f"{name}-{k}", STYLES[name] | {"sample": k + 2})
            for k in range(6)
            for name in ("sampled", "filtered")
        ]
        return [Case(name, "", options) for name, options in rows]
    ordinary = list(sentences) or list(SENTENCES)
    texts = {**ODD, "longest": " ".join(ordinary * 200)[:20_000]}
    texts |= {f"sentence-{i}": text for i, text in enumerate(ordinary)}
    cases = [Case(name, text, STYLES["greedy"]) for name, text in texts.items()]
    several = ["empty", "emoji", *[name for name in texts if name.startswith("sentence")][:3]]
    for name in several:
        cases += [
            Case(f"{name}-{style}", texts[name], options)
            for style, options in STYLES.items()
            if style != "greedy"
        ]
    return cases


def golden_cases(cases: Sequence[Case], count: int = 40) -> list[Case]:
    """Those that the bundle keeps: every style, and few of many sentences."""
    plain = [case for case in cases if case.options == STYLES["greedy"]]
    others = [case for case in cases if case.options != STYLES["greedy"]]
    return [*plain[: max(0, count - len(others))], *others]


def write_with_torch(model: TextModel, cases: Sequence[Case], beam_size: int) -> list[Written]:
    """What PyTorch writes: the truth that every graph is held to.

    Args:
        model: texts longer than it reads are cropped.
        cases: the rows.
        beam_size: hypotheses of rows with a beam.
    """
    reader = TextModel(model.model, model.tokenizer, model.labels, model.info, crop=True)
    latent = model.model.latent is not None
    posterior = reader.encode([case.text for case in cases]) if latent else None
    groups: dict[Decoding, list[int]] = {}
    for index, case in enumerate(cases):
        groups.setdefault(decoding_of(case.all_options, beam_size), []).append(index)
    found: dict[int, Written] = {}
    for decoding, rows in groups.items():
        samples = torch.tensor([int(cases[i].options.get("sample", 0)) for i in rows])
        z = None
        if posterior is not None:
            z = torch.cat([_z(posterior, i, cases[i].all_options) for i in rows])
        written = generate(model.model, z, decoding, rows=samples)
        for row, index in enumerate(rows):
            ids, complete = written.ids[row], bool(written.complete[row])
            found[index] = Written(
                text=model.tokenizer.decode(ids),
                ids=(*ids, EOS) if complete else tuple(ids),
                log_prob=float(written.log_prob[row]),
                complete=complete,
            )
    return [found[i] for i in range(len(cases))]


def decoding_of(options: dict[str, float], beam_size: int) -> Decoding:
    """The options of a row in PyTorch's words."""
    decoding = Decoding(
        temperature=options["temperature"],
        top_k=int(options["top_k"]),
        top_p=options["top_p"],
        length_penalty=options["length_penalty"],
        max_length=int(options["max_length"]),
        seed=int(options["seed"]),
        beam_size=beam_size,
    )
    if options["beam"]:
        return replace(decoding, strategy="beam", temperature=0.0)
    return replace(decoding, strategy="greedy" if options["temperature"] < COLDEST else "sample")


def _z(posterior: Any, row: int, options: dict[str, float]) -> torch.Tensor:  # noqa: ANN401
    """z [1, D] of a row: the posterior's sample of this number under this seed."""
    alone = posterior.select(slice(row, row + 1))
    seed, sample = torch.tensor([int(options["seed"])]), int(options["sample"])
    drawn: torch.Tensor = alone.sample(seed, sample + 1, options["noise_scale"])[sample]
    return drawn
