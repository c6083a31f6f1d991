"""Noise on the encoder's input, for models that learn to denoise (Lample et al. 2018, "Unsupervised Machine
Translation Using Monolingual Corpora Only", section 2.3)."""

from dataclasses import dataclass

import numpy as np

from seqvae.data.storage import LongArray
from seqvae.data.text import BLANK, BOS, EOS, PAD
from seqvae.errors import UserError


@dataclass(frozen=True)
class Noise:
    """How tokens are corrupted; start, end and padding never are."""

    drop: float = 0.0
    """Probability that a token disappears; one token of a sequence always stays."""

    blank: float = 0.0
    """Probability that a token becomes the blank token."""

    substitute: float = 0.0
    """Probability that a token becomes a random piece."""

    shuffle: int = 0
    """Tokens move at most this many places, 0 keeps the order."""

    def __post_init__(self) -> None:
        for name in ("drop", "blank", "substitute"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"noise {name}: {getattr(self, name)} is not a probability")
        if self.blank + self.substitute > 1.0:
            raise UserError(f"noise: blank {self.blank} + substitute {self.substitute} exceed 1")
        if self.shuffle < 0:
            raise UserError(f"noise shuffle: {self.shuffle} is not a distance")

    @property
    def is_active(self) -> bool:
        """Whether anything is corrupted at all."""
        return bool(self.drop or self.blank or self.substitute or self.shuffle)


def corrupt(
    values: LongArray,
    lengths: LongArray,
    noise: Noise,
    vocab_size: int,
    generator: np.random.Generator,
) -> tuple[LongArray, LongArray]:
    """Corrupt a padded batch: shuffle, then drop, then blank or substitute.

    Args:
        values: [B, T], rows of start, tokens, end, padding; not changed.
        lengths: [B], start and end counted.
        noise: what to do.
        vocab_size: pieces to substitute from; the special ones are not used.
        generator: source of randomness; the same state gives the same noise.

    Returns:
        New values [B, T'] with T' the longest new length, and the new lengths [B].
    """
    batch, width = values.shape
    columns = np.arange(width)
    inner = (columns >= 1) & (columns < lengths[:, None] - 1)
    # Tokens sort by where they go; start keeps the front, end and padding the back.
    place = np.where(inner, columns, np.where(columns == 0, -1, 2 * width + columns)).astype(float)
    if noise.shuffle:
        # Keys i + U(0, k + 1) move a token at most k places.
        place += inner * generator.uniform(0.0, noise.shuffle + 1, values.shape)
    kept = inner
    if noise.drop:
        kept = inner & (generator.random(values.shape) >= noise.drop)
        survivor = 1 + (generator.random(batch) * np.maximum(lengths - 2, 1)).astype(np.int64)
        rescue = (lengths > 2) & ~kept.any(axis=1)
        kept[rescue, survivor[rescue]] = True
    tokens = values
    if noise.blank or noise.substitute:
        draw = generator.random(values.shape)
        tokens = np.where(draw < noise.blank, BLANK, values)
        random_pieces = generator.integers(BLANK + 1, max(vocab_size, BLANK + 2), values.shape)
        is_random = (draw >= noise.blank) & (draw < noise.blank + noise.substitute)
        tokens = np.where(is_random, random_pieces, tokens)
    place[inner & ~kept] = np.inf
    order = np.argsort(place, axis=1, kind="stable")
    counts = kept.sum(axis=1)
    new_lengths = counts.astype(np.int64) + 2
    out_width = int(new_lengths.max())
    result = np.take_along_axis(tokens, order, axis=1)[:, :out_width].copy()
    shown = np.arange(out_width)
    result[shown >= new_lengths[:, None]] = PAD
    result[:, 0] = BOS
    result[np.arange(batch), new_lengths - 1] = EOS
    return result, new_lengths
