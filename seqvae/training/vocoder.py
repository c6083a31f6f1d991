"""Trains a vocoder on prepared recordings."""

import json
import math
import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

import seqvae
from seqvae.config import Training
from seqvae.config_json import from_json, to_json
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.loader import CropLoader
from seqvae.errors import UserError
from seqvae.training.checkpoint import (
    checkpoint_folder,
    checkpoints,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from seqvae.training.ema import MovingAverage
from seqvae.training.folder import difference
from seqvae.training.log import Meter, Progress, RunLog
from seqvae.training.optimizer import (
    build_optimizer,
    learning_rate,
    pack_optimizer,
    unpack_optimizer,
)
from seqvae.training.vocoder_config import VocoderExperiment
from seqvae.training.vocoder_lessons import Crops, lesson_of
from seqvae.training.vocoder_validation import VocoderValidation
from seqvae.vocoders import Vocoder, save_vocoder

LOG_EVERY = 20
SETTINGS = "training.json"


class VocoderTrainer:
    """One training, from its first step or from its last checkpoint to its end.

    Args:
        experiment: the training.

    Raises:
        UserError: the data is not prepared speech, too short, or the folder holds something else.
    """

    def __init__(self, experiment: VocoderExperiment) -> None:
        config = experiment.training
        self.experiment, self.config, self.out = experiment, config, Path(experiment.out)
        if config.threads:
            torch.set_num_threads(config.threads)
        cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if cuda else "cpu")
        self.corpus = SpeechCorpus.open(experiment.data)
        settings = self.corpus.settings
        torch.manual_seed(experiment.seed)
        self.vocoder: Vocoder = experiment.vocoder.build(settings).to(self.device).train()
        _open(experiment, self.corpus.fingerprint)
        self.lesson = lesson_of(self.vocoder)
        train = self.corpus.split("train")
        valid = self.corpus.split("valid")
        around = self.lesson.before + self.lesson.behind
        self.frames = max(1, round(config.crop_seconds * settings.frame_rate))
        self.loader = CropLoader(
            train, frames=self.frames + around, batch=config.batch, seed=experiment.seed, audio=True
        )
        self.validation = VocoderValidation(
            valid if len(valid) else train, config.validate_recordings, self.device
        )
        self.optimization = Training(
            learning_rate=config.learning_rate,
            warmup=config.warmup,
            final_rate=config.final_rate,
            weight_decay=config.weight_decay,
        )
        self.optimizer = build_optimizer(self.vocoder, self.optimization)
        self.ema = MovingAverage(self.vocoder, config.ema)
        self.meter = Meter()
        self.step = self.bad = self.skipped = 0
        self.best: float | None = None
        self.measured: dict[str, float] = {}
        self.log = RunLog(self.out, True, self._resume())

    def fit(self) -> dict[str, float]:
        """Train to the end; returns the last validation.

        Raises:
            UserError: too many non-finite steps in a row, or the disk is full.
        """
        config = self.config
        bar = Progress(config.steps, self.step, True)
        try:
            while self.step < config.steps:
                shown = self._train_step()
                self.step += 1
                last = self.step == config.steps
                bar.advance(config.batch * self.frames, shown)
                if self.step % LOG_EVERY == 0 or last:
                    row = {"step": self.step, "split": "train", **self.meter.take()}
                    self.log.write("metrics.jsonl", {**row, "skipped": self.skipped})
                    speed = {"step": self.step, "frames_per_second": bar.speed}
                    self.log.write("timing.jsonl", speed)
                if self.step % config.validate_every == 0 or last:
                    self._validate(bar)
                if self.step % config.checkpoint_every == 0 or last:
                    self._save()
        finally:
            bar.close()
            self.log.close()
        return self.measured

    def _train_step(self) -> dict[str, float]:
        # All noise of a step follows from (seed, step): that alone makes a resume exact.
        key = np.random.SeedSequence([self.experiment.seed, self.step]).generate_state(1, np.uint64)
        torch.manual_seed(int(key[0] >> np.uint64(1)))
        rate = learning_rate(self.optimization, self.step / self.config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        raw = self.loader.next_batch()
        lesson = self.lesson
        crops = Crops.from_raw(raw, self.corpus.settings, lesson.before, lesson.behind, self.device)
        self.optimizer.zero_grad(set_to_none=True)
        parts = lesson.loss(crops)
        total: Tensor = torch.stack(list(parts.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        norm = float(clip_grad_norm_(self.vocoder.parameters(), self.config.clip))
        if not math.isfinite(norm) or not math.isfinite(float(total.detach())):
            self._skip()
            return {}
        self.bad = 0
        self.optimizer.step()
        self.ema.update(self.step + 1)
        values = {name: float(part.detach()) for name, part in parts.items()}
        extras = {"learning_rate": rate, "gradient_norm": norm}
        self.meter.add(values, 1.0, extras)
        return values

    def _skip(self) -> None:
        self.bad += 1
        self.skipped += 1
        row = {"step": self.step, "event": "non-finite loss or gradient, step skipped"}
        self.log.write("guard.jsonl", row)
        if self.bad >= self.config.bad_steps:
            raise UserError(
                f"{self.bad} steps in a row gave a loss or gradient that is not finite (step "
                f"{self.step}): lower --learning-rate (now {self.config.learning_rate:g})"
            )

    def _validate(self, bar: Progress) -> None:
        with self.ema.applied():
            self.measured = self.validation.measure(self.vocoder)
            row = {"step": self.step, "split": "valid", **self.measured}
            self.log.write("metrics.jsonl", row)
            words = ", ".join(f"{name} {value:.4f}" for name, value in self.measured.items())
            bar.say(f"step {self.step}: {words}")
            if self.best is None or self.measured["loss"] < self.best:
                self.best = self.measured["loss"]
                save_vocoder(
                    self.vocoder,
                    self.experiment.vocoder,
                    self.out,
                    seqvae=seqvae.__version__,
                    data_fingerprint=self.corpus.fingerprint,
                    step=self.step,
                    measured=self.measured,
                )

    def _save(self) -> None:
        moments, numbers = pack_optimizer(self.optimizer)
        weights = {name: value.detach() for name, value in self.vocoder.state_dict().items()}
        tensors = {"model": weights, "optimizer": moments, "ema": self.ema.values}
        state = {
            "step": self.step,
            "loader": self.loader.state(),
            "meter": self.meter.state(),
            "optimizer": numbers,
            "best": self.best,
            "bad": self.bad,
            "skipped": self.skipped,
            "measured": self.measured,
            "files": self.log.offsets(),
        }
        write_checkpoint(checkpoint_folder(self.out, self.step), tensors, state)
        prune(self.out, self.config.keep)

    def _resume(self) -> dict[str, int] | None:
        found = checkpoints(self.out)
        if not found:
            return None
        tensors, state = read_checkpoint(found[-1], self.device)
        try:
            self.vocoder.load_state_dict(tensors["model"])
            unpack_optimizer(self.optimizer, tensors["optimizer"], state["optimizer"])
            self.ema.load(tensors["ema"])
            self.loader.load_state(state["loader"])
            self.meter.load_state(state["meter"])
            self.step, self.best, self.bad = state["step"], state["best"], state["bad"]
            self.skipped, self.measured = state["skipped"], state["measured"]
            files: dict[str, int] = state["files"]
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"{found[-1]}: does not fit this training ({error}); delete this checkpoint to go "
                "on from the one before"
            ) from error
        print(f"resuming {self.out} at step {self.step} of {self.config.steps}", file=sys.stderr)
        return files


def train_vocoder(experiment: VocoderExperiment, *, overwrite: bool = False) -> dict[str, float]:
    """Train a vocoder, or go on where it stopped; returns the last validation's numbers.

    Args:
        experiment: the training.
        overwrite: delete the training that is in its folder first.

    Raises:
        UserError: see `VocoderTrainer`.
    """
    if overwrite:
        _delete(Path(experiment.out))
    return VocoderTrainer(experiment).fit()


def _open(experiment: VocoderExperiment, fingerprint: str) -> None:
    """Create the folder, or check that it holds this very training."""
    out = Path(experiment.out)
    path = out / SETTINGS
    if path.exists():
        document = _read(path)
        before = from_json(VocoderExperiment, document["experiment"], str(path))
        # Folders may have been moved; the data is known by its fingerprint.
        before = replace(before, data=experiment.data, out=experiment.out)
        if before != experiment:
            raise UserError(
                f"{out} holds a training with other settings: {difference(before, experiment)}; use "
                "another folder, the same settings to resume it, or --overwrite"
            )
        if document.get("data_fingerprint") != fingerprint:
            raise UserError(
                f"{out} was trained on other data than {experiment.data} (its fingerprint differs); "
                "use another folder, the same data to resume it, or --overwrite"
            )
        return
    document = {
        "seqvae": seqvae.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "data_fingerprint": fingerprint,
        "experiment": to_json(experiment),
    }
    try:
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out} is not empty and holds no training: use another folder")
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror}; choose another folder or fix its permissions"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); delete the folder to train anew") from None
    if not isinstance(document, dict) or "experiment" not in document:
        raise UserError(f"{path}: not a training of a vocoder; use another folder")
    return document


def _delete(out: Path) -> None:
    """Delete the training in a folder, if there is one, and nothing that is none."""
    if not (out / SETTINGS).exists():
        return
    _read(out / SETTINGS)
    try:
        shutil.rmtree(out)
    except OSError as error:
        raise UserError(f"cannot delete {out}: {error.strerror}") from error
