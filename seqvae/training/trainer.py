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
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.data.noise import corrupt
from seqvae.errors import UserError
from seqvae.objectives import Loss, Objective, RateTarget
from seqvae.training import distributed
from seqvae.training.ema import MovingAverage
from seqvae.training.folder import delete_run, open_run
from seqvae.training.guard import CollapseGuard, rate_remedy
from seqvae.training.log import Meter, Progress, RunLog
from seqvae.training.optimizer import build_optimizer, learning_rate
from seqvae.training.phases import Phases
from seqvae.training.state import resume, save, write_weights
from seqvae.training.validation import Validation, in_words

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
        self.corpus = Corpus.open(experiment.data)
        open_run(experiment, self.corpus, self.process)
        self.pairs = self.corpus.has_pairs
        torch.manual_seed(experiment.seed)
        self.model = experiment.model.build(
            self.corpus.tokenizer.vocab_size, latent=experiment.latent == "vae"
        ).to(self.device)
        self.loader = Loader(
            self.corpus.split("train"),
            tokens_per_batch=config.tokens_per_batch,
            seed=experiment.seed,
            rank=self.process.rank,
            world=self.process.world,
            max_length=experiment.model.max_length,
            pairs=self.pairs,
        )
        self.validation = Validation(
            self.corpus.split("valid"),
            limit=config.validate_sequences,
            tokens_per_batch=max(config.tokens_per_batch, 2 * experiment.model.max_length),
            max_length=experiment.model.max_length,
            pairs=self.pairs,
            device=self.device,
        )
        self.batch_tokens = self._tokens_per_step()
        epoch_steps = max(1, self.loader.steps_per_epoch // config.accumulate)
        self.total = config.steps or max(1, round(config.epochs * epoch_steps))
        self.validate_every = config.validate_every or max(1, min(epoch_steps, self.total // 5))
        self.objective: Objective = experiment.objective.build()
        self.optimizer = build_optimizer(self.model, config)
        self.ema = MovingAverage(self.model, config.ema) if config.ema else None
        self.guard = CollapseGuard(config.guard if self.model.latent is not None else "off")
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

    def _tokens_per_step(self) -> float:
        """Predicted tokens of an average step of this process."""
        store = self.corpus.split("train")
        lengths = store.target_lengths if self.pairs else store.lengths
        assert lengths is not None
        average = float(lengths.mean()) + 1.0
        sequences = len(lengths) / (self.loader.steps_per_epoch * self.process.world)
        return average * sequences * self.config.accumulate

    @property
    def progress(self) -> float:
        """Part of the run that is done."""
        return self.step / self.total

    def fit(self) -> dict[str, Any]:
        """Train to the end; returns the last validation.

        Raises:
            UserError: too many non-finite steps in a row, or the disk is full.
        """
        bar = Progress(self.total, self.step, self.process.main)
        try:
            while not self.finished:
                self.phases.enter(self.progress, self)
                tokens, shown = self._train_step()
                self.step += 1
                bar.advance(tokens, shown)
                if self.step % LOG_EVERY == 0 or self.step == self.total:
                    row = {"step": self.step, "split": "train", **self.meter.take()}
                    row["skipped"] = self.skipped
                    self.log.write("metrics.jsonl", row)
                    speed = {"step": self.step, "tokens_per_second": bar.tokens_per_second}
                    self.log.write("timing.jsonl", speed)
                if self.step % self.validate_every == 0 or self.step == self.total:
                    self.measured = self._validate(bar)
                if self.step % self.config.checkpoint_every == 0 or self.finished:
                    save(self)
        finally:
            bar.close()
            self.log.close()
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
        statistics = [buffer.clone() for buffer in self.statistics]
        tokens, rows = 0, 0
        sums: dict[str, float] = {}
        indices = []
        for part in range(self.config.accumulate):
            batch, raw_indices = self.next_batch(part)
            indices.append(raw_indices)
            tokens += int(batch.predicted_tokens)
            last = part == self.config.accumulate - 1
            with contextlib.nullcontext() if last else self._no_sync():
                loss = self.loss(batch)
                # Every sequence weighs the same, whatever the size of its batch; the constant
                # makes the gradient's norm that of a loss per token, which `clip` expects.
                (loss.total * (batch.size / self.batch_tokens)).backward()  # type: ignore[no-untyped-call]
            rows += batch.size
            for name, value in {**loss.shown, "loss": loss.total.detach()}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * batch.size
        norm = float(clip_grad_norm_(self.model.parameters(), self.config.clip))
        sums = self.process.mean({**sums, "sequences": float(rows)})
        total, size = sums.pop("loss"), sums.pop("sequences")
        if not math.isfinite(norm) or not math.isfinite(total):
            for buffer, before in zip(self.statistics, statistics, strict=True):
                buffer.copy_(before)
            self._skip(np.concatenate(indices), norm)
            return tokens, {}
        self.bad = 0
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.step + 1)
        if "kl" in sums and not self.phases.overrides(self.progress):
            self.objective.observe(sums["kl"] / size, size)
        self.meter.add(sums, size, {"learning_rate": rate, "gradient_norm": norm})
        return tokens, {k: sums[k] / size for k in ("reconstruction", "kl", "beta") if k in sums}

    def next_batch(self, part: int = 0) -> tuple[Batch, np.ndarray]:
        """The next batch on the device, corrupted where the run says so, and its indices."""
        raw = self.loader.next_batch()
        batch = Batch.from_raw(raw)
        noise = self.config.noise
        if noise.is_active:
            generator = np.random.default_rng(
                [self.experiment.seed, self.step, self.process.rank, part]
            )
            values, lengths = corrupt(
                batch.encoder_values.numpy(),
                batch.encoder_lengths.numpy(),
                noise,
                self.corpus.tokenizer.vocab_size,
                generator,
            )
            batch = batch.with_source(values, lengths)
        return batch.to(self.device), raw.indices

    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch under the phase that the run is in."""
        seed = torch.randint(0, 2**62, (1,), dtype=torch.int64).to(self.device)
        objective = self.phases.objective(self.progress) or self.objective
        with self._autocast():
            terms = self.network(batch, seed, objective.samples)
        return objective(terms, self.progress)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        wanted = self.config.precision
        on = wanted == "bfloat16" or (wanted == "auto" and self.device.type == "cuda")
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
            store = self.corpus.split("train")
            texts = [self.corpus.tokenizer.decode(store.tokens(int(i)).tolist()) for i in indices]
            path.write_text(json.dumps({"indices": indices.tolist(), "texts": texts}, indent=1))
            raise UserError(
                f"{self.bad} steps in a row gave a loss or gradient that is not finite (step {self.step}); "
                f"the batch is in {path}: look for broken text there, lower "
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
        bar.say(f"step {self.step}: {in_words(measured)}")
        self.phases.after_validation(measured)
        if self.phases.overrides(self.progress):
            return measured
        if "kl" in measured:
            self.objective.calibrate(measured["kl"])
        verdict = self.guard.judge(measured, self.progress) if self.model.latent else None
        if verdict is not None and verdict.problem:
            row = {"step": self.step, "event": verdict.problem, "words": verdict.words}
            self.log.write("guard.jsonl", row)
            bar.say(f"GUARD at step {self.step}: {verdict.words}")
            if verdict.remedy == "rate_target":
                self.objective = rate_remedy(self.experiment.objective).build()
            elif verdict.remedy == "word_dropout":
                self.model.word_dropout = max(0.3, self.model.word_dropout)
        return measured

    def _improved(self, measured: dict[str, Any]) -> bool:
        """Whether these are the best weights so far, at the wanted rate."""
        config = self.experiment.objective
        # Before the rate is reached a lower bound only says that z is still silent.
        if (
            self.model.latent is not None
            and isinstance(config, RateTarget)
            and abs(measured["kl"] / config.rate - 1) > 0.05
        ):
            return False
        if not math.isfinite(measured["bound"]):
            return False
        better = self.best is None or measured["bound"] < self.best
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = measured["bound"]
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
