"""From z to token ids: greedy, sampled or by beam search, one cached step at a time."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from seqvae.data.text import BOS, EOS, PAD
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.likelihoods.categorical import CategoricalLikelihood
from seqvae.model import SequenceVAE
from seqvae.tasks.beam import beam_search
from seqvae.tasks.sampling import COLDEST, forbid, pick, settings, token_uniforms

MAX_HYPOTHESES = 128
"""Sequences decoded side by side; it bounds the memory of the caches and changes no result."""
MAX_LENGTH = 1 << 16
"""Greatest limit that may be asked for."""
UNIFORMS = 64
"""Steps whose random numbers are made at once; it changes no result."""


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Raises:
        UserError: a value is out of its range.
    """

    strategy: Literal["greedy", "sample", "beam"] = "greedy"
    """greedy: the most probable token each time; sample: a random one; beam: the best of
    `beam_size` sequences kept side by side."""
    temperature: float = 1.0
    """For sample: below 1 sharpens the probabilities, above 1 flattens them; 0 is greedy."""
    top_k: int = 0
    """For sample: only the k most probable tokens; 0: all."""
    top_p: float = 1.0
    """For sample: only the fewest tokens that have this much probability together."""
    beam_size: int = 4
    """For beam: sequences kept."""
    length_penalty: float = 0.6
    """For beam: alpha of Wu et al. 2016, arXiv 1609.08144, eq. 14; 0 ranks by probability, which
    favours short texts."""
    max_length: int = 256
    """Most tokens written, the end token counted; the model's own limit holds as well."""
    seed: int = 0
    """Fixes everything random: the same seed gives the same text, alone or in a batch."""
    no_repeat_ngram: int = 0
    """Never write the same run of this many tokens twice; 0: off."""

    def __post_init__(self) -> None:
        rules = {
            "strategy": (self.strategy in ("greedy", "sample", "beam"), "greedy, sample or beam"),
            "temperature": (0 <= self.temperature < float("inf"), "0 or more"),
            "top_k": (self.top_k >= 0, "0 (all) or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "beam_size": (1 <= self.beam_size <= MAX_HYPOTHESES, f"1 to {MAX_HYPOTHESES}"),
            "length_penalty": (0 <= self.length_penalty < float("inf"), "0 or more"),
            "max_length": (1 <= self.max_length <= MAX_LENGTH, f"1 to {MAX_LENGTH}"),
            "seed": (-(2**63) <= self.seed < 2**63, "a 64-bit integer"),
            "no_repeat_ngram": (self.no_repeat_ngram >= 0, "0 (off) or more"),
        }
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise UserError(f"decoding: {name} is {getattr(self, name)!r}; it must be {wanted}")


@dataclass(frozen=True)
class Generated:
    """What was written.

    Attributes:
        ids: token ids of each row, without start and end tokens.
        log_prob: log p(ids | z) in nats under the model as trained (no temperature, no filter),
            the end token counted where it was written, shape [N], float32.
        complete: whether the end token was written, rather than the limit reached, shape [N].
    """

    ids: list[list[int]]
    log_prob: Tensor
    complete: Tensor


def generate(
    model: SequenceVAE,
    z: Tensor | None,
    decoding: Decoding | None = None,
    *,
    rows: Tensor | None = None,
) -> Generated:
    """Write one sequence for each z.

    Args:
        model: over tokens; left in the mode it was in.
        z: shape [N, D], or None for a language model.
        decoding: how; greedy by default.
        rows: int64 keys of the rows' noise, shape [N]; 0 to N - 1 by default. A row with the same
            key, z and seed is the same sequence in any batch.

    Raises:
        ValueError: `z` or `rows` does not fit the model.
    """
    decoding = decoding or Decoding()
    if (z is None) != (model.latent is None):
        raise ValueError("z must be given for a model with a latent, and only then")
    device = next(model.parameters()).device
    if z is not None:
        z = z.to(device)
        rows = torch.arange(len(z)) if rows is None else rows
    if rows is None or (z is not None and len(rows) != len(z)):
        raise ValueError("rows must have one key for each sequence to write")
    if not len(rows):
        return Generated([], torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    beam = decoding.beam_size if decoding.strategy == "beam" else 1
    size = max(1, MAX_HYPOTHESES // beam)
    parts = []
    with evaluating(model):
        for begin in range(0, len(rows), size):
            part = slice(begin, begin + size)
            keys = rows[part].to(device)
            parts.append(_write(model, None if z is None else z[part], keys, decoding))
    tokens, log_prob = [row for part in parts for row in part[0]], [part[1] for part in parts]
    complete = torch.tensor([row[-1] == EOS for row in tokens])
    ids = [row[:-1] if row[-1] == EOS else row for row in tokens]
    return Generated(ids, torch.cat(log_prob).cpu(), complete)


def token_likelihood(model: SequenceVAE) -> CategoricalLikelihood:
    """The model's softmax over tokens.

    Raises:
        TypeError: it produces something else.
    """
    if not isinstance(model.likelihood, CategoricalLikelihood):
        raise TypeError(f"{type(model.likelihood).__name__} does not write tokens")
    return model.likelihood


def _write(
    model: SequenceVAE, z: Tensor | None, rows: Tensor, decoding: Decoding
) -> tuple[list[list[int]], Tensor]:
    # One less than the model's limit: what is written can be read again behind its start token.
    limit = min(decoding.max_length, getattr(model.decoder, "max_length", 1 << 31) - 1)
    if decoding.strategy == "beam":
        return beam_search(
            model.need_token_decoder(),
            token_likelihood(model),
            z,
            len(rows),
            beam=decoding.beam_size,
            length_penalty=decoding.length_penalty,
            limit=limit,
            no_repeat_ngram=decoding.no_repeat_ngram,
        )
    return _write_one_by_one(model, z, rows, decoding, limit)


def _write_one_by_one(
    model: SequenceVAE, z: Tensor | None, rows: Tensor, decoding: Decoding, limit: int
) -> tuple[list[list[int]], Tensor]:
    decoder, likelihood = model.need_token_decoder(), token_likelihood(model)
    seed = torch.tensor([decoding.seed], device=rows.device)
    random = decoding.strategy == "sample" and decoding.temperature >= COLDEST
    state = decoder.start(z, len(rows), limit)
    ids = torch.full((len(rows), limit), PAD, device=rows.device)
    log_prob = torch.zeros(len(rows), device=rows.device)
    here = torch.arange(len(rows), device=rows.device)
    going = torch.ones_like(here, dtype=torch.bool)
    token = torch.full_like(here, BOS)
    uniforms = torch.empty(0)
    for step in range(limit):
        hidden = decoder.step(likelihood.embed(token), state)
        logits = likelihood.logits(hidden).float()
        allowed = forbid(logits, ids[here, :step], decoding.no_repeat_ngram)
        if random:
            if step % UNIFORMS == 0:
                uniforms = token_uniforms(seed, rows, step, UNIFORMS)
            options = settings(allowed, decoding.temperature, decoding.top_k, decoding.top_p)
            token = pick(allowed, uniforms[here, step % UNIFORMS, None], *options)[:, 0]
        else:
            token = allowed.argmax(1)
        ids[here, step] = torch.where(going, token, PAD)
        change = logits.gather(1, token[:, None])[:, 0] - logits.logsumexp(1)
        log_prob[here] += torch.where(going, change, 0.0)
        going = going & (token != EOS)
        left = int(going.sum())
        if not left:
            break
        # Dropping ended rows copies the caches: worth it once it halves the work.
        if 2 * left <= len(here):
            keep = going.nonzero()[:, 0]
            decoder.select(state, keep)
            here, token, going = here[keep], token[keep], going[keep]
    lengths = (ids != PAD).sum(1).tolist()
    return [row[:n] for row, n in zip(ids.tolist(), lengths, strict=True)], log_prob
