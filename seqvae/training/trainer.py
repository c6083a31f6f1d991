"""The training loop."""

import contextlib
import gc
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from seqvae.batch import Batch
from seqvae.config import Experiment
from seqvae.data.storage import LongArray
from seqvae.errors import UserError
from seqvae.objectives import Loss, Objective
from seqvae.training import distributed
from seqvae.training.ema import MovingAverage
from seqvae.training.folder import delete_run, open_run
from seqvae.training.guard import rate_remedy
from seqvae.training.log import Meter, Progress, RunLog
from seqvae.training.material_choice import open_material
from seqvae.training.opponent import Opponent
from seqvae.training.optimizer import build_optimizer, learning_rate
from seqvae.training.phases import Phases
from seqvae.training.precision import cpu_has_bfloat16
from seqvae.training.state import resume, save, write_weights
from seqvae.training.validation import at_rate

LOG_EVERY = 20


class Trainer:
    """One run, from its first step or from its last checkpoint to its end.

    Args:
        experiment: the run.

    Raises:
        UserError: the data is not a prepared corpus, or the run's folder holds another run.
    """

    def __init__(self, experiment: Experiment) -> None:
        config = experiment.training
        self.experiment, self.config = experiment, config
        self.run = Path(experiment.run)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.process = distributed.join(config.device)
        self.device = self.process.device
        self.material = open_material(experiment, self.process)
        open_run(experiment, self.material, self.process)
        torch.manual_seed(experiment.seed)
        self.model = self.material.build().to(self.device)
        self.validation = self.material.validation()
        # Of an average step of this process.
        self.step_values = self.material.values_per_batch * config.accumulate
        epoch_steps = max(1, self.material.batches_per_epoch // config.accumulate)
        self.total = config.steps or max(1, round(config.epochs * epoch_steps))
        self.validate_every = config.validate_every or self.material.validate_every(
            self.total, epoch_steps
        )
        self.objective: Objective = experiment.objective.build()
        self.objective.sequences = self.material.sequences
        if self.model.latent is not None:
            self.objective.attach(self.model.latent.dimension, self.device)
        self.opponent = Opponent(self.objective, self.process)
        self.optimizer = build_optimizer(self.model, config)
        self.ema = MovingAverage(self.model, config.ema) if config.ema else None
        self.guard = self.material.guard(config.guard if self.model.levels else "off")
        self.phases = Phases(config, self.model)
        self.meter = Meter()
        self.step = 0
        self.bad = 0
        self.skipped = 0
        self.waited = 0
        self.best: float | None = None
        self.measured: dict[str, Any] = {}
        offsets = resume(self)
        self.log = RunLog(self.run, self.process.main, offsets)
        norms = [m for m in self.model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
        self.statistics = [buffer for norm in norms for buffer in norm.buffers()]
        self.network: torch.nn.Module = self.model
        self.wrap()

    def wrap(self) -> None:
        """Make `network` of the model: compiled and distributed as the run says.

        To be called again when other weights are trained: DistributedDataParallel waits for the
        gradients of those that were when it was made.
        """
        if isinstance(self.network, DistributedDataParallel):
            # It lives in reference cycles, and its hooks on the gradients live with it.
            self.network = self.model
            gc.collect()
        self.network = self.model
        if self.config.compile:
            self.network = torch.compile(self.model, dynamic=True)  # type: ignore[assignment]
        if self.process.world > 1:
            self.network = DistributedDataParallel(
                self.network, device_ids=[self.device] if self.device.type == "cuda" else None
            )

    @property
    def progress(self) -> float:
        """Part of the run that is done."""
        return self.step / self.total

    def fit(self) -> dict[str, Any]:
        """Train to the end; returns the last validation.

        Raises:
            UserError: too many non-finite steps in a row, the disk is full, or see `Material.finish`.
        """
        bar = Progress(self.total, self.step, self.process.main)
        try:
            while not self.finished:
                self.phases.enter(self.progress, self)
                count, shown = self._train_step()
                self.step += 1
                bar.advance(count, shown)
                if self.step % LOG_EVERY == 0 or self.step == self.total:
                    row = {"step": self.step, "split": "train", **self.meter.take()}
                    row["skipped"] = self.skipped
                    self.log.write("metrics.jsonl", row)
                    speed = {"step": self.step, f"{self.material.unit}_per_second": bar.speed}
                    self.log.write("timing.jsonl", speed)
                if self.step % self.validate_every == 0 or self.step == self.total:
                    self.measured = self._validate(bar)
                if self.step % self.config.checkpoint_every == 0 or self.finished:
                    save(self)
        finally:
            bar.close()
            self.log.close()
        if self.process.main:
            self.material.finish(self.run)
        self.process.wait()
        return self.measured

    def _train_step(self) -> tuple[int, dict[str, float]]:
        # All noise of a step follows from (seed, step, rank): that alone makes a resume exact.
        key = np.random.SeedSequence(
            [self.experiment.seed, self.step, self.process.rank]
        ).generate_state(1, np.uint64)
        torch.manual_seed(int(key[0] >> np.uint64(1)))
        rate = learning_rate(self.config, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.phases.before_step(self)
        self.optimizer.zero_grad(set_to_none=True)
        self.opponent.forget()
        statistics = [buffer.clone() for buffer in self.statistics]
        count, rows = 0, 0
        sums: dict[str, float] = {}
        indices = []
        for part in range(self.config.accumulate):
            batch, raw_indices = self.next_batch(part)
            indices.append(raw_indices)
            count += self.material.count(batch)
            last = part == self.config.accumulate - 1
            with contextlib.nullcontext() if last else self._no_sync():
                loss = self.loss(batch)
                # Every sequence weighs the same, whatever the size of its batch; the constant
                # makes the gradient's norm that of a loss per value, which `clip` expects.
                whole = loss.total if loss.opposed is None else loss.total + loss.opposed
                (whole * (batch.size / self.step_values)).backward()  # type: ignore[no-untyped-call]
            rows += batch.size
            shown = {**loss.shown, **self.material.shown(batch, loss)}
            for name, value in {**shown, "loss": loss.total.detach()}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * batch.size
        norm = float(clip_grad_norm_(self.model.parameters(), self.config.clip))
        opposing = self.opponent.gather()
        sums = self.process.mean({**sums, "sequences": float(rows)})
        total, size = sums.pop("loss"), sums.pop("sequences")
        if not all(map(math.isfinite, (norm, total, opposing))):
            for buffer, before in zip(self.statistics, statistics, strict=True):
                buffer.copy_(before)
            self._skip(np.concatenate(indices), norm)
            return count, {}
        self.bad = 0
        self.optimizer.step()
        self.opponent.step()
        if self.ema is not None:
            self.ema.update(self.step + 1)
        means = {name: value / size for name, value in sums.items()}
        if "kl" in means and not self.phases.overrides(self.progress):
            self.objective.observe(means["kl"], size, means)
        self.meter.add(sums, size, {"learning_rate": rate, "gradient_norm": norm})
        return count, self.material.headline(means)

    def next_batch(self, part: int = 0) -> tuple[Batch, LongArray]:
        """The next batch on the device, and its positions in the training split."""
        batch, indices = self.material.next_batch(self.step, part)
        return batch.to(self.device), indices

    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch under the phase that the run is in."""
        seed = torch.randint(0, 2**62, (1,), dtype=torch.int64).to(self.device)
        objective = self.phases.objective(self.progress) or self.objective
        with self._autocast():
            terms = self.network(
                batch,
                seed,
                objective.samples,
                objective.gradient,
                objective.aggregate,
                objective.crossed,
            )
        return objective(terms, self.progress)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        on = self.config.precision == "bfloat16"
        if self.config.precision == "auto":
            on = self.device.type == "cuda" or (
                self.material.bfloat16_on_cpu and cpu_has_bfloat16()
            )
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)

    def _no_sync(self) -> contextlib.AbstractContextManager[Any]:
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return contextlib.nullcontext()

    def _skip(self, indices: np.ndarray, norm: float) -> None:
        self.bad += 1
        self.skipped += 1
        row = {
            "step": self.step,
            "event": "non-finite loss or gradient, step skipped",
            "norm": str(norm),
        }
        self.log.write("guard.jsonl", row)
        if self.bad >= self.config.bad_steps:
            rank = f"_{self.process.rank}" if self.process.world > 1 else ""
            path = self.run / f"bad_batch_{self.step}{rank}.json"
            content = {"indices": indices.tolist(), **self.material.describe(indices)}
            path.write_text(json.dumps(content, indent=1))
            raise UserError(
                f"{self.bad} steps in a row gave a loss or gradient that is not finite (step {self.step}); "
                f"the batch is in {path}: {self.material.bad_batch_advice}, lower "
                "--training.learning-rate, or use --training.precision float32"
            )

    def _validate(self, bar: Progress) -> dict[str, Any]:
        with self.ema.applied() if self.ema is not None else contextlib.nullcontext():
            measured = self.process.agree(self.validation.measure(self.model))
            improved = self._improved(measured)
            self.log.write("metrics.jsonl", {"step": self.step, "split": "valid", **measured})
            # Until the rate is reached the newest weights are the nearest to it.
            if self.process.main and (improved or self.best is None):
                write_weights(self, "best", measured)
        bar.say(f"step {self.step}: {self.validation.in_words(measured)}")
        self.phases.after_validation(measured)
        if self.phases.overrides(self.progress):
            return measured
        if "kl" in measured:
            self.objective.calibrate(measured["kl"], measured)
        verdict = self.guard.judge(measured, self.progress) if self.model.levels else None
        if verdict is not None and verdict.problem:
            row = {"step": self.step, "event": verdict.problem, "words": verdict.words}
            self.log.write("guard.jsonl", row)
            bar.say(f"GUARD at step {self.step}: {verdict.words}")
            if verdict.remedy == "rate_target":
                self.objective = rate_remedy(self.experiment).build()
            elif verdict.remedy == "word_dropout":
                self.model.word_dropout = max(0.3, self.model.word_dropout)
        return measured

    def _improved(self, measured: dict[str, Any]) -> bool:
        """Whether these are the best weights so far, at the wanted rate."""
        own = self.objective.criterion(measured)
        found = measured[self.validation.criterion] if own is None else own
        if not at_rate(self.experiment.objective, measured) or not math.isfinite(found):
            return False
        better = self.best is None or found < self.best
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = found
        return better

    @property
    def finished(self) -> bool:
        """Whether all steps are done or patience has run out."""
        patience = self.config.patience
        return self.step >= self.total or (patience is not None and self.waited >= patience)


def train(experiment: Experiment, *, overwrite: bool = False) -> dict[str, Any]:
    """Train a run, or go on with it where it stopped; returns the last validation's numbers.

    Args:
        experiment: the run.
        overwrite: delete the run that is in its folder first.

    Raises:
        UserError: see `Trainer`.
    """
    try:
        if overwrite:
            delete_run(Path(experiment.run), distributed.join(experiment.training.device))
        trainer = Trainer(experiment)
        return trainer.fit()
    finally:
        distributed.leave()
