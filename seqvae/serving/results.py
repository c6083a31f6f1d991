"""What the engine answers: the torch-free twins of the results in `seqvae.tasks`, field by field."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Written:
    """One text that was written.

    Attributes:
        text: what was written.
        ids: its token ids, without start and end tokens.
        log_prob: log p(ids | z) in nats under the model as trained (no temperature, no filter),
            the end token counted where it was written.
        complete: whether the end token was written, rather than the limit reached.
    """

    text: str
    ids: list[int]
    log_prob: float
    complete: bool


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
