"""Paraphrases, drawn and ranked; the twin of `seqvae.tasks.paraphrase`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqvae.errors import UserError
from seqvae.serving.choose import COLDEST
from seqvae.serving.core import Array, Core
from seqvae.serving.latent import sample
from seqvae.serving.options import Options
from seqvae.serving.philox import latent_noise
from seqvae.serving.results import Candidate, Paraphrase, Written

ROUNDS = 4
"""Draws of `n` candidates made for a text while it has fewer than `n` different ones."""
MAX_CANDIDATES = 1000
"""Most candidates of one text."""


def paraphrase(
    core: Core,
    texts: Sequence[str],
    n: int,
    *,
    noise_scale: float,
    options: Options,
    distinct: bool,
) -> list[Paraphrase]:
    """See `Engine.paraphrase`."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_CANDIDATES:
        raise UserError(f"paraphrase: n is {n!r}; it must be 1 to {MAX_CANDIDATES}")
    options = replace(options, noise_scale=noise_scale)
    core.need_latent("paraphrase")
    ids = core.read(texts)
    if not ids:
        return []
    mean, log_variance = core.posterior(ids)
    inputs = [text.casefold() for text in core.texts.normalise(texts)]
    # Of a text that was cropped nothing written is a copy: it cannot be written whole.
    whole = [not core.texts.too_long(t, row) for t, row in zip(texts, ids, strict=True)]
    draws = not options.beam and options.temperature >= COLDEST
    rounds = ROUNDS if distinct and (noise_scale > 0 or draws) else 1
    found: list[list[Candidate]] = [[] for _ in texts]
    for number in range(rounds):
        open_texts = [i for i, c in enumerate(found) if sum(not x.copy for x in c) < n]
        if not open_texts:
            break
        keys = [options.sample + number * n + k for k in range(n)]
        noise = np.stack([latent_noise(options.seed, k, core.facts.latent) for k in keys])
        owner = [i for i in open_texts for _ in range(n)]
        z = sample(mean[open_texts][:, None], log_variance[open_texts][:, None], noise, noise_scale)
        ways = [replace(options, sample=k) for k in keys] * len(open_texts)
        written = core.write(z.reshape(-1, core.facts.latent), ways)
        scores = _scores(core, written, mean[owner])
        for i, one, score in zip(owner, written, scores, strict=True):
            copy = whole[i] and one.text.casefold() == inputs[i]
            if not (distinct and one.text in (c.text for c in found[i])):
                found[i].append(Candidate(one.text, score, copy))
    return [
        Paraphrase(text, sorted(c, key=lambda x: (x.copy, -x.score))[:n])
        for text, c in zip(texts, found, strict=True)
    ]


def _scores(core: Core, written: Sequence[Written], mean: Array) -> list[float]:
    """Log-probability per piece of each sequence given its row of `mean` [N, D]."""
    ends = [one.complete for one in written]
    surprisals = core.surprisals([one.ids for one in written], mean, ends)
    # A z that overflowed writes nothing at all.
    return [-float(s.sum(dtype=np.float32)) / max(len(s), 1) for s in surprisals]
