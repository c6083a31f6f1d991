"""How (im)probable texts are, as a whole and piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating, importance_weighted, sequence_seeds
from seqvae.tasks.decode import token_likelihood
from seqvae.tasks.texts import GROUP_TOKENS, batch_of, groups, sample_each

if TYPE_CHECKING:
    from seqvae.tasks.text_model import TextModel

PIECE_SAMPLES = 16
"""Most samples of z over which surprisals are averaged; their error is far below that of one."""


class Piece(NamedTuple):
    """A piece of a text and how unexpected it was, in nats."""

    piece: str
    surprisal: float


@dataclass(frozen=True)
class Score:
    """What the model says of a text; all in nats, the end token counted.

    Attributes:
        text: the text.
        elbo: -(reconstruction + kl), a lower bound of log p(text).
        nll_iw: importance-weighted estimate of -log p(text): the anomaly score. Longer texts have
            more; compare `per_piece` across lengths.
        kl: KL(q(z | text) || p(z)): how unusual the text's place in the latent is.
        reconstruction: mean -log p(text | z) over samples of the posterior.
        pieces: each piece and the end token; the surprisals sum to `reconstruction`.
    """

    text: str
    elbo: float
    nll_iw: float
    kl: float
    reconstruction: float
    pieces: list[Piece]

    @property
    def per_piece(self) -> float:
        """`nll_iw` per piece, the end token counted."""
        return self.nll_iw / len(self.pieces)

    @property
    def misfit(self) -> float:
        """`reconstruction` per piece: how badly the latent holds the text.

        A text of a kind that training never saw may cost no more KL than a usual one, and yet cannot be written from
        its z. `benchmarks.anomaly` measures it beside the other scores.
        """
        return self.reconstruction / len(self.pieces)


def score(
    model: "TextModel", texts: Sequence[str], samples: int = 100, seed: int = 0
) -> list[Score]:
    """Score each text; a text gets the same score in any company.

    Args:
        model: any trained text model; for a language model everything is exact and `kl` 0.
        texts: any number.
        samples: samples of z for `nll_iw`; more are tighter.
        seed: fixes them.

    Raises:
        UserError: a text is too long, or `samples` is below 1.
    """
    if samples < 1:
        raise UserError(f"score: samples is {samples}; it must be 1 or more")
    ids = model.read(texts)
    scores: dict[int, Score] = {}
    few = min(samples, PIECE_SAMPLES)
    for group in groups(ids, GROUP_TOKENS // few):
        batch = batch_of([ids[i] for i in group], model.device)
        nll = importance_weighted(model.model, batch, samples, seed).tolist()
        surprisal, kl = _surprisals(model, batch, few, seed)
        for i, row, nll_iw, kl_row in zip(group, surprisal.tolist(), nll, kl.tolist(), strict=True):
            names = [*model.tokenizer.pieces(ids[i]), "</s>"]
            pieces = [Piece(name, value) for name, value in zip(names, row, strict=False)]
            reconstruction = sum(piece.surprisal for piece in pieces)
            elbo = -(reconstruction + kl_row)
            scores[i] = Score(texts[i], elbo, nll_iw, kl_row, reconstruction, pieces)
    return [scores[i] for i in range(len(ids))]


def _surprisals(model: "TextModel", batch: Batch, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Mean surprisal of each step [B, T - 1] over samples of z, and the KL [B], in nats."""
    network = model.model
    with evaluating(network):
        kl = torch.zeros(batch.size)
        z: Tensor | None = None
        if network.latent is None:
            samples = 1
        else:
            posterior = network.encode(batch)
            seeds = sequence_seeds(batch, seed, "score")
            drawn = sample_each(posterior, seeds, samples)
            kl = network.latent.prior.kl(posterior, z=drawn).sum(1)
            z = drawn.flatten(0, 1)
        values, lengths = batch.values.repeat(samples, 1), batch.lengths.repeat(samples)
        states = network.decode(values, z)
        steps = token_likelihood(network).nll_steps(states, values, lengths)
        return steps.view(samples, batch.size, -1).mean(0), kl
