"""Batches of sequences of similar length within a token budget, at an exactly resumable position."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from seqvae.data.attributes import FloatArray
from seqvae.data.storage import IntArray, LongArray, SequenceStore
from seqvae.data.text import BOS, EOS, PAD
from seqvae.errors import UserError

# Sequences whose lengths differ by less than this share a bucket: padding stays below it.
_BUCKET_GROWTH = 1.06


@dataclass(frozen=True)
class RawBatch:
    """A padded batch.

    Attributes:
        values: [B, T] int64, each row start, tokens, end, then padding.
        lengths: [B] int64, start and end counted.
        labels: [B] int64 or None.
        targets: [B, T'] like `values`, for pairs.
        target_lengths: [B] int64 or None.
        indices: [B] int64, positions in the store.
        attributes: [B, A] float32 or None.
    """

    values: LongArray
    lengths: LongArray
    labels: LongArray | None
    targets: LongArray | None
    target_lengths: LongArray | None
    indices: LongArray
    attributes: FloatArray | None = None


class BatchPlan:
    """Which sequences share a batch, for every epoch.

    Sequences fall into buckets of similar length. An epoch shuffles every bucket, lays them behind one another
    from long to short and cuts that line into batches that keep the budget with the bucket's longest
    possible sequence. The cuts depend on the buckets' sizes alone, so every epoch has the same number of batches.

    Args:
        lengths: length of every sequence as it will be padded, [N].
        tokens_per_batch: most values in a batch, padding included.
        max_batch: most sequences in a batch.
        max_length: longer sequences are left out and counted in `skipped`.
        seed: of the shuffles.
        shuffle: False keeps one fixed order (long to short).

    Raises:
        UserError: the budget is below `max_length`, or nothing is left.
    """

    def __init__(
        self,
        lengths: IntArray | LongArray,
        *,
        tokens_per_batch: int,
        max_batch: int = 4096,
        max_length: int = 256,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        kept = np.flatnonzero(lengths <= max_length)
        self.skipped = len(lengths) - len(kept)
        if not len(kept):
            raise UserError(
                f"no sequence to load: all {len(lengths)} are longer than max_length {max_length}"
                if len(lengths)
                else "no sequence to load: the split is empty"
            )
        longest = int(lengths[kept].max())
        if tokens_per_batch < longest:
            raise UserError(
                f"tokens_per_batch {tokens_per_batch} cannot hold the longest sequence of {longest} tokens; "
                "raise it or lower max_length"
            )
        self.seed = seed
        self.shuffle = shuffle
        bounds = _bucket_bounds(longest)
        bucket = (len(bounds) - 1 - np.searchsorted(bounds, lengths[kept])).astype(np.uint16)
        order = np.argsort(bucket, kind="stable")
        self._sequences: LongArray = kept[order]
        self._buckets = bucket[order]
        counts = np.bincount(bucket, minlength=len(bounds))
        self._cuts = _cut(counts, bounds[::-1], tokens_per_batch, max_batch)

    def __len__(self) -> int:
        return len(self._cuts) + 1

    def epoch(self, epoch: int) -> list[LongArray]:
        """Return the batches of an epoch, each the indices of its sequences, in the order to run them."""
        if not self.shuffle:
            return np.split(self._sequences, self._cuts)
        generator = np.random.default_rng([self.seed, epoch])
        shuffled = generator.permutation(len(self._sequences))
        order = shuffled[np.argsort(self._buckets[shuffled], kind="stable")]
        batches = np.split(self._sequences[order], self._cuts)
        return [batches[i] for i in generator.permutation(len(batches))]


def _bucket_bounds(longest: int) -> LongArray:
    bounds = [1]
    while bounds[-1] < longest:
        bounds.append(max(bounds[-1] + 1, int(bounds[-1] * _BUCKET_GROWTH)))
    bounds[-1] = max(longest, 1)
    return np.array(bounds)


def _cut(counts: LongArray, widths: LongArray, tokens_per_batch: int, max_batch: int) -> LongArray:
    ends = np.cumsum(counts)
    total = int(ends[-1])
    cuts: list[int] = []
    position = 0
    while True:
        width = int(widths[np.searchsorted(ends, position, side="right")])
        position += min(max(tokens_per_batch // width, 1), max_batch)
        if position >= total:
            return np.array(cuts, np.int64)
        cuts.append(position)


class Loader:
    """Endless batches over a split.

    Args:
        store: the sequences.
        tokens_per_batch: most values in a batch of one rank, padding, start and end tokens included.
        seed: of the order; the order is the same whatever the machine.
        rank: this process.
        world: number of processes; they get different batches, equally many. What is left over when their
            number does not divide the epoch's batches is left out, another part each epoch.
        shuffle: False for evaluation: one fixed order, long to short.
        max_length: longest sequence in tokens, start and end included; longer ones are skipped and counted.
        pairs: also load the targets; the longer of the two counts for the budget.
        max_batch: most sequences in a batch.

    Raises:
        UserError: nothing to load, a budget too small, pairs asked of a corpus without, or fewer batches than processes.
    """

    def __init__(
        self,
        store: SequenceStore,
        *,
        tokens_per_batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        max_length: int = 256,
        pairs: bool = False,
        max_batch: int = 4096,
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world}")
        self.store = store
        self.rank, self.world = rank, world
        self.pairs = pairs
        lengths = store.lengths
        if pairs:
            if store.target_lengths is None:
                raise UserError("the corpus has no pairs; prepare it from two text columns")
            lengths = np.maximum(lengths, store.target_lengths)
        self._plan = BatchPlan(
            lengths + np.int32(2),
            tokens_per_batch=tokens_per_batch,
            max_batch=max_batch,
            max_length=max_length,
            seed=seed,
            shuffle=shuffle,
        )
        self.skipped = self._plan.skipped
        self.steps_per_epoch = len(self._plan) // world
        if not self.steps_per_epoch:
            raise UserError(
                f"{len(self._plan)} batches cannot feed {world} processes; lower tokens_per_batch ({tokens_per_batch})"
            )
        self._identity = {
            "sequences": len(store),
            "tokens_per_batch": tokens_per_batch,
            "max_length": max_length,
            "max_batch": max_batch,
            "seed": seed,
            "world": world,
            "shuffle": shuffle,
            "pairs": pairs,
        }
        self.epoch = 0
        self.step = 0
        self._planned: tuple[int, list[LongArray]] | None = None

    @property
    def progress(self) -> float:
        """Epochs done, with fractions."""
        return self.epoch + self.step / self.steps_per_epoch

    def epoch_batches(self, epoch: int) -> list[LongArray]:
        """Return this rank's batches of an epoch, each the indices of its sequences."""
        if self._planned is None or self._planned[0] != epoch:
            batches = self._plan.epoch(epoch)[self.rank :: self.world][: self.steps_per_epoch]
            self._planned = (epoch, batches)
        return self._planned[1]

    def next_batch(self) -> RawBatch:
        """Return the next batch and move on; after an epoch's last comes the next epoch's first."""
        batch = self.collate(self.epoch_batches(self.epoch)[self.step])
        self.step += 1
        if self.step == self.steps_per_epoch:
            self.epoch, self.step = self.epoch + 1, 0
        return batch

    def collate(self, indices: LongArray) -> RawBatch:
        """Pad the sequences `indices` into one batch."""
        values, lengths = self._padded(indices, self.store.lengths, target=False)
        targets = target_lengths = None
        if self.pairs and self.store.target_lengths is not None:
            targets, target_lengths = self._padded(indices, self.store.target_lengths, target=True)
        known = self.store.attributes
        return RawBatch(
            values=values,
            lengths=lengths,
            labels=None if self._labels is None else self._labels[indices],
            attributes=None if known is None else known[indices],
            targets=targets,
            target_lengths=target_lengths,
            indices=indices,
        )

    def state(self) -> dict[str, Any]:
        """Return the exact position, as JSON values."""
        return {"epoch": self.epoch, "step": self.step, **self._identity}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue at a position saved by a loader with the same settings.

        Raises:
            UserError: the state is of another corpus, budget, seed or number of processes.
        """
        for key, value in self._identity.items():
            if state.get(key) != value:
                raise UserError(
                    f"cannot resume the loader: {key} was {state.get(key)} and is now {value}"
                )
        epoch, step = int(state["epoch"]), int(state["step"])
        if epoch < 0 or not 0 <= step < self.steps_per_epoch:
            raise UserError(f"cannot resume the loader: no step {step} in epoch {epoch}")
        self.epoch, self.step = epoch, step

    @cached_property
    def _labels(self) -> LongArray | None:
        labels = self.store.labels
        return None if labels is None else labels.astype(np.int64)

    def _padded(
        self, indices: LongArray, token_lengths: IntArray, target: bool
    ) -> tuple[LongArray, LongArray]:
        lengths = token_lengths[indices].astype(np.int64) + 2
        values = np.full((len(indices), int(lengths.max())), PAD, np.int64)
        values[:, 0] = BOS
        self.store.copy_rows(indices, values, first=1, target=target)
        values[np.arange(len(indices)), lengths - 1] = EOS
        return values, lengths
