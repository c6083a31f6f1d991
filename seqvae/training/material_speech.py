"""Speech to train on."""

import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.config import Experiment
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.equalizer import filter_curves
from seqvae.data.speech.loader import CropLoader, RawFrames, played
from seqvae.data.speech.mix import Mixer
from seqvae.data.speech.store import SpeechStore
from seqvae.data.storage import LongArray
from seqvae.errors import UserError
from seqvae.latent import STYLE
from seqvae.latent_model import LatentModel
from seqvae.model import SequenceVAE
from seqvae.nn.mel import MelSpectrogram
from seqvae.nn.warp import warp_mels
from seqvae.objectives import Loss, SpeechObjectiveChoice
from seqvae.objectives.objective import BIT_RATE
from seqvae.training.distributed import Process
from seqvae.training.guard import Guard, Mode
from seqvae.training.material import Material, step_generator
from seqvae.training.speech_guard import SpeechGuard
from seqvae.training.speech_validation import Recordings, SpeechValidation, batches, spread, whole
from seqvae.training.validation import Validation

# Validations of a run: more often they would cost more than they tell.
VALIDATIONS = 40
# Ratio of speech to noise at which denoising is measured, decibels.
NOISE_RATIO = 5.0


@final
class SpeechMaterial(Material):
    """A corpus of `seqvae prepare speech`.

    Args:
        experiment: the run.
        process: this process among all that train.

    Raises:
        UserError: not such a corpus, or the run's settings are for text.
    """

    unit = "frames"
    # Of 600 steps: 125 CPU-seconds against 195 and 39.40 nats a frame against 39.31 (AMD EPYC, avx512_bf16).
    bfloat16_on_cpu = True
    bad_batch_advice = "listen to what is broken there"

    def __init__(self, experiment: Experiment, process: Process) -> None:
        self.experiment, self.networks = experiment, experiment.speech
        _check(experiment)
        self.corpus = SpeechCorpus.open(experiment.data)
        self.path, self.fingerprint = self.corpus.path, self.corpus.fingerprint
        self.settings = self.corpus.settings
        self.process, self.device = process, process.device
        self.store = self.corpus.split("train")
        self.loader = CropLoader(
            self.store,
            frames=self.networks.crop_frames(self.settings),
            batch=self.networks.batch,
            seed=experiment.seed,
            rank=process.rank,
            world=process.world,
            tempo=self.networks.tempo,
        )
        self.mixer = Mixer(self.networks.noise, self.store)
        self.mel = MelSpectrogram(self.settings)

    def facts(self) -> dict[str, Any]:
        """See `Material.facts`."""
        return {
            "mel": dataclasses.asdict(self.settings),
            "speakers": self.corpus.train_speakers,
        }

    def furnish(self, run: Path) -> None:
        """See `Material.furnish`; mel settings stand in config.json, statistics among the weights."""

    def build(self) -> SequenceVAE:
        """See `Material.build`."""
        return self.networks.build(
            self.settings,
            self.corpus.mean,
            self.corpus.std,
            speakers=len(self.corpus.train_speakers),
            items=len(self.store),
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
        """See `Material.values_per_batch`: mel bins of the frames that are there."""
        frames = self.store.frames.astype(np.float64)
        # A recording is chosen as often as it is long.
        average = float(np.minimum(frames, self.loader.frames) @ frames / frames.sum())
        return average * self.networks.batch * self.settings.mels

    def validate_every(self, total: int, epoch: int) -> int:
        """See `Material.validate_every`: from 5 to 40 times, once an epoch where that lies between."""
        return max(1, min(max(epoch, total // VALIDATIONS), total // 5))

    def next_batch(self, step: int, part: int) -> tuple[Batch, LongArray]:
        """See `Material.next_batch`; warped, filtered and noisy where the run says so."""
        raw = self.loader.next_batch()
        generator = step_generator(self.experiment.seed, step, self.process.rank, part)
        return self._batch(raw, generator), raw.indices

    def _batch(self, raw: RawFrames, generator: np.random.Generator) -> Batch:
        longest = int(raw.lengths.max())
        values = torch.from_numpy(raw.values[:, :longest])
        lengths = torch.from_numpy(raw.lengths)
        warp = self.networks.warp
        factors = generator.uniform(1.0 - warp, 1.0 + warp, len(values))
        heard = self._noisy(raw, values, generator) if self.networks.noise.is_active else None
        source = values if heard is None else heard
        if warp:
            source = warp_mels(source, torch.from_numpy(factors.astype(np.float32)))
        if self.networks.equalizer:
            curves = filter_curves(
                generator, len(values), self.settings.mels, self.networks.equalizer
            )
            source = source + torch.from_numpy(curves * self.corpus.std)[:, None]
        return Batch(
            values,
            lengths,
            torch.from_numpy(raw.speakers),
            source=None if source is values else source,
            source_lengths=None if source is values else lengths,
            items=torch.from_numpy(raw.indices),
            pitch=torch.from_numpy(raw.pitch[:, :longest]) if self.networks.pitch else None,
            heard=heard,
        )

    def _noisy(self, raw: RawFrames, values: Tensor, generator: np.random.Generator) -> Tensor:
        """Frames of the crops with noise in some of them, [B, T, mels]."""
        heard = values.clone()
        for row in range(len(values)):
            if generator.random() >= self.networks.noise.probability:
                continue
            index, size = int(raw.indices[row]), int(raw.lengths[row])
            span = int(raw.spans[row])
            start = int(raw.offsets[row])
            # Frames reach over their edges: what lies there is read as well.
            beyond = -(-self.settings.edge // self.settings.hop)
            before = min(beyond, start)
            clean = self.store.audio(index, start - before, before + span + beyond)
            noisy = self.mixer.mix(clean, index, generator)
            frames = self._frames(noisy)[before : before + span].numpy()
            heard[row, :size] = torch.from_numpy(played(frames, size))
        return heard

    def _frames(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
        frames: Tensor = self.mel(torch.from_numpy(samples)[None])[0]
        return frames

    def count(self, batch: Batch) -> int:
        """See `Material.count`."""
        return int(batch.lengths.sum())

    def shown(self, batch: Batch, loss: Loss) -> dict[str, Tensor | float]:
        """See `Material.shown`."""
        frames = batch.lengths.float().mean()
        return {"reconstruction_frame": loss.shown["reconstruction"] / frames}

    def headline(self, shown: dict[str, float]) -> dict[str, float]:
        """See `Material.headline`."""
        names = {"reconstruction_frame": "nats/frame", BIT_RATE: "bit/s", STYLE: "style"}
        return {label: shown[name] for name, label in names.items() if name in shown}

    def describe(self, indices: LongArray) -> dict[str, Any]:
        """See `Material.describe`."""
        numbers = indices.tolist()
        return {
            "recordings": [self.store.name(i) for i in numbers],
            "speakers": [self.corpus.speakers[self.store.speaker[i]] for i in numbers],
        }

    def validation(self) -> Validation:
        """See `Material.validation`; on recordings of the training split where no others are held out."""
        store = self.corpus.split("valid")
        if not len(store):
            if self.process.main:
                print(
                    f"{self.path} has no recordings held out: validations use those trained on, so the "
                    "best weights are the last ones; prepare it with a validation part to see more",
                    file=sys.stderr,
                )
            store = self.store
        return SpeechValidation(self._recordings(store), self.device)

    def _recordings(self, store: SpeechStore) -> Iterable[Recordings]:
        chosen = spread(store)[: self.experiment.training.validate_sequences]
        for indices in batches(store, chosen):
            batch = whole(store, indices)
            yield Recordings(batch, self._disturbed(store, indices, batch))

    def _disturbed(self, store: SpeechStore, indices: LongArray, batch: Batch) -> Tensor | None:
        """The same recordings with noise at one ratio, where the run is of a denoiser."""
        config = self.networks.noise
        if not config.is_active:
            return None
        mixer = Mixer(replace(config, snr=(NOISE_RATIO, NOISE_RATIO)), store)
        noisy = batch.values.clone()
        for row, index in enumerate(indices.tolist()):
            size = int(batch.lengths[row])
            mixture = mixer.mix(store.audio(index, 0, size), index, np.random.default_rng(index))
            noisy[row, :size] = self._frames(mixture)
        return noisy

    def guard(self, mode: Mode) -> Guard:
        """See `Material.guard`."""
        return SpeechGuard(mode, self.experiment.objective, len(self.corpus.train_speakers))

    def finish(self, run: Path) -> None:
        """See `Material.finish`: the voices of its speakers, by which a copy without the corpus knows them."""
        from seqvae.tasks.speakers import speakers_of
        from seqvae.training.load import load_speech

        speakers_of(load_speech(run, device=str(self.device)))

    def state(self) -> dict[str, Any]:
        """See `Material.state`."""
        return self.loader.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Material.load_state`."""
        self.loader.load_state(state)


def _check(experiment: Experiment) -> None:
    """Refuse settings that are for text."""
    if not isinstance(experiment.objective, SpeechObjectiveChoice):
        raise UserError(
            f"the objective {type(experiment.objective).__name__} weighs one latent of a text; for speech use "
            "level-rates (--rate BITS) or elbo"
        )
    if experiment.latent == "none":
        raise UserError(
            "--latent none is the language model that texts are compared with; speech has none"
        )
    if experiment.training.noise.is_active:
        raise UserError(
            "--noise drops words of a text; to train a denoiser of speech use --model.noise.probability 0.8"
        )
