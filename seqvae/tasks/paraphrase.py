"""The same said differently: texts written from around a text's place in the latent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.decode import Decoding, Generated, generate
from seqvae.tasks.texts import batch_of, groups, sample_each

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

ROUNDS = 4
"""Draws of `n` candidates made for a text while it has fewer than `n` different ones."""


@dataclass(frozen=True)
class Candidate:
    """One paraphrase.

    Attributes:
        text: what was written.
        score: log-probability in nats per piece (end counted) given the posterior mean of the
            input: how well the model finds it says what the input says. Higher is better.
        copy: whether it is the input itself, but for case.
    """

    text: str
    score: float
    copy: bool


@dataclass(frozen=True)
class Paraphrase:
    """A text and its paraphrases, best first, copies of the text last."""

    text: str
    candidates: list[Candidate]


def paraphrase(
    model: "TextModel",
    texts: Sequence[str],
    n: int = 5,
    *,
    noise_scale: float = 1.0,
    decoding: Decoding | None = None,
    distinct: bool = True,
    seed: int | None = None,
) -> list[Paraphrase]:
    """Up to `n` paraphrases of each text, from z = mean + noise_scale * deviation * noise.

    A text gets the same paraphrases in any company: candidate k of every text is written with the
    noise of (seed, k), for its z as for its tokens.

    Args:
        model: with a latent; trained on pairs, it paraphrases as they do.
        texts: any number.
        n: candidates wanted.
        noise_scale: 0 stays at the posterior mean; larger says it more freely.
        decoding: how tokens are chosen; greedy by default.
        distinct: leave out repetitions, and draw again (a few times) until there are `n`
            candidates that differ from each other and from the input.
        seed: fixes z and tokens; by default `decoding.seed`.

    Raises:
        UserError: the model has no latent, a text is too long, or a number is out of range.
    """
    if n < 1 or not 0 <= noise_scale < float("inf"):
        raise UserError(
            f"paraphrase: n is {n} and noise_scale {noise_scale}; they must be 1 and 0 or more"
        )
    decoding = decoding or Decoding()
    if seed is not None:
        decoding = replace(decoding, seed=seed)
    model.need_latent("paraphrase")
    ids = model.read(texts)
    if not ids:
        return []
    posterior = model.posterior(ids)
    varies = noise_scale > 0 or (decoding.strategy == "sample" and decoding.temperature > 0)
    rounds = ROUNDS if distinct and varies else 1
    # Candidate k of every text has the noise that sample k of the prior has under this seed.
    z = sample_each(posterior, [decoding.seed] * len(ids), n * rounds, noise_scale)
    found: list[list[Candidate]] = [[] for _ in texts]
    for number in range(rounds):
        open_texts = [i for i, c in enumerate(found) if sum(not x.copy for x in c) < n]
        if not open_texts:
            break
        keys = torch.arange(number * n, (number + 1) * n)
        drawn = z[keys.to(z.device)][:, torch.tensor(open_texts, device=z.device)].transpose(0, 1)
        written = generate(
            model.model, drawn.flatten(0, 1), decoding, rows=keys.repeat(len(open_texts))
        )
        owner = [i for i in open_texts for _ in range(n)]
        scores = _scores(model, written, posterior.mean, owner)
        for i, tokens, score in zip(owner, written.ids, scores, strict=True):
            text = model.tokenizer.decode(tokens)
            copy = text.casefold() == model.tokenizer.normalise(texts[i]).casefold()
            if not (distinct and text in (c.text for c in found[i])):
                found[i].append(Candidate(text, score, copy))
    return [
        Paraphrase(text, sorted(c, key=lambda x: (x.copy, -x.score))[:n])
        for text, c in zip(texts, found, strict=True)
    ]


def _scores(model: "TextModel", written: Generated, mean: Tensor, owner: list[int]) -> list[float]:
    """Log-probability per piece of each sequence given the mean [B, D] of its owner."""
    scores = [0.0] * len(owner)
    complete = written.complete.tolist()
    with evaluating(model.model):
        for ends in (True, False):
            rows = [i for i, done in enumerate(complete) if done == ends]
            for group in groups([written.ids[i] for i in rows]):
                part = [rows[i] for i in group]
                batch = batch_of([written.ids[i] for i in part], model.device, ends=ends)
                z = mean[torch.tensor([owner[i] for i in part], device=mean.device)]
                nll = model.model.reconstruction(batch, z[None])[0] / (batch.lengths - 1)
                for i, value in zip(part, nll.tolist(), strict=True):
                    scores[i] = -value
    return scores
