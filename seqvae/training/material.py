"""What a run is trained on: all in training that depends on whether it is text or speech."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.data.storage import LongArray
from seqvae.latent_model import LatentModel
from seqvae.objectives import Loss
from seqvae.training.guard import Guard, Mode
from seqvae.training.validation import Validation


class Material(ABC):
    """A prepared corpus, the model it needs, its batches and its validations.

    Every process of a run makes its own.

    Attributes:
        path: the corpus.
        fingerprint: by which a run knows it again.
    """

    path: Path
    fingerprint: str
    unit: str
    """What `count` counts, in the plural."""
    bad_batch_advice: str
    """What to look for in a batch whose loss is not finite."""
    bfloat16_on_cpu: bool
    """Whether `precision auto` is bfloat16 on a CPU that computes in it, as it is on every GPU."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the run's config.json shall say of the corpus, as JSON values."""

    @abstractmethod
    def furnish(self, run: Path) -> None:
        """Write what a run's folder needs beside its weights.

        Raises:
            OSError: it cannot be written.
        """

    @abstractmethod
    def build(self) -> LatentModel:
        """The run's model with new weights."""

    @abstractmethod
    def fresh_decoder(self, model: LatentModel) -> nn.Module:
        """A decoder like that of `model` with new weights."""

    @property
    def sequences(self) -> int:
        """Of the training split; 0: objectives are not told."""
        return 0

    @property
    @abstractmethod
    def batches_per_epoch(self) -> int:
        """Batches in which this process sees its part of the training split once."""

    @property
    @abstractmethod
    def values_per_batch(self) -> float:
        """Predicted values of an average batch: tokens, or bins of frames.

        Losses are divided by it, so that gradients are those of one value, which `clip` expects.
        """

    @abstractmethod
    def validate_every(self, total: int, epoch: int) -> int:
        """Steps between validations of a run of `total` steps whose epochs have `epoch` steps."""

    @abstractmethod
    def next_batch(self, step: int, part: int) -> tuple[Batch, LongArray]:
        """The next batch, on the CPU, and the positions of its rows in the training split.

        What is random in it beside the order follows from the run's seed, `step`, the process's rank and
        `part` alone: that makes a resume exact.
        """

    @abstractmethod
    def count(self, batch: Batch) -> int:
        """Predicted steps of a batch, in `unit`."""

    def shown(self, batch: Batch, loss: Loss) -> dict[str, Tensor | float]:
        """What is logged of a batch beside what its loss shows."""
        return {}

    @abstractmethod
    def headline(self, shown: dict[str, float]) -> dict[str, float]:
        """Of the numbers of a step, those that the progress bar has room for."""

    @abstractmethod
    def describe(self, indices: LongArray) -> dict[str, Any]:
        """What is in the training split at these positions, as JSON values, to find what is broken."""

    @abstractmethod
    def validation(self) -> Validation:
        """Measures a model on the validation split."""

    @abstractmethod
    def guard(self, mode: Mode) -> Guard:
        """Judges validations."""

    @abstractmethod
    def finish(self, run: Path) -> None:
        """Add to the folder of a run that has ended what is made from its weights and its corpus.

        Called by the main process alone, once every weight is written.

        Raises:
            UserError: the run or the corpus cannot be read.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The exact position, as JSON values."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Go on at a position.

        Raises:
            UserError: it is of another corpus, or of other settings.
        """


def step_generator(seed: int, step: int, rank: int, part: int) -> np.random.Generator:
    """The randomness of one batch of one process, the same whenever it is drawn."""
    return np.random.default_rng([seed, step, rank, part])
