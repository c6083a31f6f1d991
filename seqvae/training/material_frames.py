"""Frames of numbers to train on."""

import sys
from pathlib import Path
from typing import Any, final

from torch import nn

from seqvae.batch import Batch
from seqvae.config import Experiment
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.loader import FramesLoader
from seqvae.data.frames.noise import corrupt_frames
from seqvae.data.storage import LongArray
from seqvae.errors import UserError
from seqvae.frames_batch import frames_batch
from seqvae.latent_model import LatentModel
from seqvae.likelihoods import Bernoulli
from seqvae.model_frames import FramesVAE
from seqvae.objectives import TextObjectiveChoice
from seqvae.training.distributed import Process
from seqvae.training.frames_guard import FramesGuard
from seqvae.training.frames_validation import FramesValidation
from seqvae.training.guard import Guard, Mode
from seqvae.training.material import Material, step_generator
from seqvae.training.validation import Validation

# Of a run: with little data an epoch is a few steps, and a validation costs as much.
VALIDATIONS = 25


@final
class FramesMaterial(Material):
    """A corpus of `seqvae prepare frames` or `digits`.

    Args:
        experiment: the run.
        process: this process among all that train.

    Raises:
        UserError: not such a corpus, its numbers or labels do not suit the networks, or the run's settings are
            for text or speech.
    """

    unit = "frames"
    bfloat16_on_cpu = False
    bad_batch_advice = "look for extreme numbers there"

    def __init__(self, experiment: Experiment, process: Process) -> None:
        self.experiment, self.networks = experiment, experiment.frames
        self.config, self.process = experiment.training, process
        self.corpus = FramesCorpus.open(experiment.data)
        self.path, self.fingerprint = self.corpus.path, self.corpus.fingerprint
        self.store = self.corpus.split("train")
        self._check()
        self.loader = FramesLoader(
            self.store,
            batch=self.networks.batch,
            seed=experiment.seed,
            rank=process.rank,
            world=process.world,
        )

    def _check(self) -> None:
        if not isinstance(self.experiment.objective, TextObjectiveChoice):
            raise UserError(
                "the objective level-rates is for speech; for frames use elbo or rate-target (--rate NATS)"
            )
        if self.config.noise.is_active:
            raise UserError(
                "--noise drops words of a text; for frames use --model.noise.gaussian 0.5"
            )
        least, greatest = self.corpus.least, self.corpus.greatest
        if isinstance(self.networks.likelihood, Bernoulli) and not 0.0 <= least <= greatest <= 1.0:
            raise UserError(
                f"model.likelihood:bernoulli is for numbers from 0 to 1, {self.path} has them from {least:g} to "
                f"{greatest:g}; prepare it with --divide {greatest:g}, or use model.likelihood:normal"
            )
        if self.networks.conditional and (self.store.labels < 0).any():
            raise UserError(
                f"--model.conditional needs a label of each sequence, {self.path} has none; prepare it with "
                "--labels or --label"
            )

    def facts(self) -> dict[str, Any]:
        """See `Material.facts`."""
        return {
            "features": self.corpus.features,
            "longest": self.corpus.longest,
            "labels": self.corpus.labels,
            "range": [self.corpus.least, self.corpus.greatest],
            "settings": self.corpus.meta["settings"],
        }

    def furnish(self, run: Path) -> None:
        """See `Material.furnish`; statistics stand among the weights, the rest in config.json."""

    def build(self) -> FramesVAE:
        """See `Material.build`."""
        return self.networks.build(
            self.corpus.features,
            self.corpus.longest,
            self.corpus.mean,
            self.corpus.std,
            labels=len(self.corpus.labels),
            latent=self.experiment.latent == "vae",
        )

    def fresh_decoder(self, model: LatentModel) -> nn.Module:
        """See `Material.fresh_decoder`."""
        return self.build().decoder

    @property
    def batches_per_epoch(self) -> int:
        """See `Material.batches_per_epoch`."""
        return self.loader.steps_per_epoch

    @property
    def values_per_batch(self) -> float:
        """See `Material.values_per_batch`."""
        return float(self.store.frames.mean()) * self.corpus.features * self.loader.batch

    def validate_every(self, total: int, epoch: int) -> int:
        """See `Material.validate_every`: from 5 to 25 times, once an epoch where that lies between."""
        return max(1, min(max(epoch, total // VALIDATIONS), total // 5))

    def next_batch(self, step: int, part: int) -> tuple[Batch, LongArray]:
        """See `Material.next_batch`; the encoder reads a noisy copy where the run says so."""
        indices = self.loader.next_indices()
        batch = frames_batch(self.store, indices)
        noise = self.networks.noise
        if noise.is_active:
            values, lengths = batch.values.numpy(), batch.lengths.numpy()
            generator = step_generator(self.experiment.seed, step, self.process.rank, part)
            noisy = corrupt_frames(
                values, lengths, noise, self.corpus.mean, self.corpus.std, generator
            )
            batch = batch.with_source(noisy, lengths)
        return batch, indices

    def count(self, batch: Batch) -> int:
        """See `Material.count`."""
        return int(batch.lengths.sum())

    def headline(self, shown: dict[str, float]) -> dict[str, float]:
        """See `Material.headline`."""
        return {name: shown[name] for name in ("reconstruction", "kl", "beta") if name in shown}

    def describe(self, indices: LongArray) -> dict[str, Any]:
        """See `Material.describe`."""
        return {"items": self.store.items[indices].tolist()}

    def validation(self) -> Validation:
        """See `Material.validation`; on sequences of the training split where no others are held out."""
        store = self.corpus.split("valid")
        if not len(store):
            if self.process.main:
                print(
                    f"{self.path} has no sequences held out: validations use those trained on, so the best "
                    "weights are the last ones; prepare it with a validation part to see more",
                    file=sys.stderr,
                )
            store = self.store
        return FramesValidation(
            store,
            limit=self.config.validate_sequences,
            batch=256,
            device=self.process.device,
            aggregate=self.experiment.objective.build().aggregate,
        )

    def guard(self, mode: Mode) -> Guard:
        """See `Material.guard`."""
        aggregate = self.experiment.objective.build().aggregate
        return FramesGuard(mode, autoregressive=self.networks.autoregressive, aggregate=aggregate)

    def finish(self, run: Path) -> None:
        """See `Material.finish`; a run on frames is whole without its corpus."""

    def state(self) -> dict[str, Any]:
        """See `Material.state`."""
        return self.loader.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Material.load_state`."""
        self.loader.load_state(state)
