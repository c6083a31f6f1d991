"""Batches of whole sequences of frames, at an exactly resumable position."""

from typing import Any

import numpy as np

from seqvae.data.frames.sequences import Longs
from seqvae.data.frames.store import FramesStore
from seqvae.errors import UserError


class FramesLoader:
    """Endless batches: every epoch a new order, each sequence at most once in it.

    The k-th batch of a rank follows from (seed, k) alone. What does not fill a batch waits for another epoch.

    Args:
        store: the sequences.
        batch: B of one rank, fewer where there are fewer.
        seed: of the orders.
        rank: this process.
        world: number of processes.

    Raises:
        UserError: fewer sequences than processes.
    """

    def __init__(
        self, store: FramesStore, *, batch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world}")
        if len(store) < world:
            raise UserError(f"{len(store)} sequences to train on are too few for {world} processes")
        self.store, self.seed, self.rank, self.world = store, seed, rank, world
        self.batch = min(batch, len(store) // world)
        self.steps_per_epoch = len(store) // (self.batch * world)
        self._identity = {"sequences": len(store), "batch": batch, "seed": seed, "world": world}
        self._order: tuple[int, Longs] | None = None
        self.step = 0

    def next_indices(self) -> Longs:
        """Positions of the next batch in the store, [B], and move on."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.store))
            self._order = epoch, order
        self.step += 1
        start = (place * self.world + self.rank) * self.batch
        return self._order[1][start : start + self.batch]

    def state(self) -> dict[str, Any]:
        """Return the exact position, as JSON values."""
        return {"step": self.step, **self._identity}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue at a position saved by a loader with the same settings.

        Raises:
            UserError: the state is of another corpus, batch, seed or number of processes.
        """
        for key, value in self._identity.items():
            if state.get(key) != value:
                raise UserError(
                    f"cannot resume the loader: {key} was {state.get(key)} and is now {value}"
                )
        self.step = int(state["step"])
