"""`Batch`: what flows from the loader through the model."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seqvae.data.loader import RawBatch


@dataclass(frozen=True)
class Batch:
    """Padded sequences and what is known of them.

    Attributes:
        values: what the decoder must produce. Text: token ids, shape [B, T], int64, each row
            `bos, tokens, eos, pad...`. Speech: natural log-mel frames, shape [B, T, mels], float32.
            Frames of numbers: as the corpus has them, shape [B, T, F], float32.
        lengths: steps of each row that are not padding (bos and eos counted), shape [B].
        labels: class of each row (of speech: the speaker), shape [B], or None.
        source: what the encoder reads (of speech: that of the content), shaped as `values` but for
            its steps S, where it is not `values` (a paraphrase pair's other side, or a corrupted
            copy), or None.
        source_lengths: lengths of `source`, shape [B], or None.
        pitch: of each frame of `values`: its course, 1 where voiced, and natural log Hz, shape
            [B, T, 3], float32 (see `seqvae.data.speech.pitch.pitch_contour`), or None.
        items: which item of the training split each row is cut from, shape [B], int64, or None.
        heard: what the voice and the pitch are read from where that is not `values` (of a denoiser, a
            noisy copy), shaped as they are, or None.
        attributes: what else is known of each row of text, shape [B, A], float32: numbers of names and
            numbers (see `seqvae.data.attributes.Attribute`), or None.
    """

    values: Tensor
    lengths: Tensor
    labels: Tensor | None = None
    source: Tensor | None = None
    source_lengths: Tensor | None = None
    items: Tensor | None = None
    pitch: Tensor | None = None
    heard: Tensor | None = None
    attributes: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of sequences B."""
        return self.values.shape[0]

    @property
    def encoder_values(self) -> Tensor:
        """What the encoder reads, shape [B, S] or [B, S, mels]."""
        return self.values if self.source is None else self.source

    @property
    def encoder_lengths(self) -> Tensor:
        """Lengths of `encoder_values`, shape [B]."""
        return self.lengths if self.source_lengths is None else self.source_lengths

    @property
    def predicted_tokens(self) -> Tensor:
        """Tokens scored in the whole batch (eos counted, bos not), a 0-d int64 tensor."""
        return (self.lengths - 1).sum()

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""

        def move(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device, non_blocking=True)

        return Batch(
            self.values.to(device, non_blocking=True),
            self.lengths.to(device, non_blocking=True),
            move(self.labels),
            move(self.source),
            move(self.source_lengths),
            move(self.items),
            move(self.pitch),
            move(self.heard),
            move(self.attributes),
        )

    def select(self, rows: Tensor) -> "Batch":
        """Some rows [R], as wide as they were."""

        def chosen(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[rows]

        return Batch(
            self.values[rows],
            self.lengths[rows],
            chosen(self.labels),
            chosen(self.source),
            chosen(self.source_lengths),
            chosen(self.items),
            chosen(self.pitch),
            chosen(self.heard),
            chosen(self.attributes),
        )

    def with_source(self, values: np.ndarray, lengths: np.ndarray) -> "Batch":
        """A copy whose encoder reads other (corrupted) sequences, arrays [B, S, ...] and [B]."""
        return replace(
            self,
            source=torch.from_numpy(values).to(self.values.device),
            source_lengths=torch.from_numpy(lengths.astype(np.int64)).to(self.values.device),
        )

    @staticmethod
    def from_raw(raw: RawBatch) -> "Batch":
        """From the loader's arrays; with pairs the first side is read, the second produced."""

        def tensor(x: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64))

        labels = None if raw.labels is None else tensor(raw.labels)
        known = None if raw.attributes is None else torch.from_numpy(raw.attributes)
        values, lengths = tensor(raw.values), tensor(raw.lengths)
        if raw.targets is None or raw.target_lengths is None:
            return Batch(values, lengths, labels, attributes=known)
        targets = tensor(raw.targets), tensor(raw.target_lengths)
        return Batch(*targets, labels, values, lengths, attributes=known)


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """True where a step is real, shape [B, size]."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def unpadded(values: Tensor, lengths: Tensor) -> Tensor | None:
    """`lengths` [B], or None where a look at them is free and says that no row is padded."""
    # On a GPU a look waits for all that is queued; masks cost little there.
    alone = lengths.device.type == "cpu" and bool((lengths == values.shape[1]).all())
    return None if alone else lengths
