"""The training loop."""

import contextlib
import json
import math
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

import seqvae
from seqvae.batch import Batch
from seqvae.config import Experiment, read_config, to_json, write_config
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.errors import UserError
from seqvae.objectives import Loss, Objective, RateTarget
from seqvae.training import distributed
from seqvae.training.checkpoint import (
    checkpoint_folder,
    checkpoints,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from seqvae.training.ema import MovingAverage
from seqvae.training.guard import CollapseGuard
from seqvae.training.log import Meter, Progress, RunLog
from seqvae.training.optimizer import build_optimizer, learning_rate
from seqvae.training.phases import Phases
from seqvae.training.validation import Validation

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
        self._open_run()
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
        self.rate_remedy: float | None = None
        offsets = self._resume()
        self.log = RunLog(self.run, self.process.main, offsets)
        self.network: torch.nn.Module = self.model
        if config.compile:
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
        measured: dict[str, Any] = {}
        try:
            while self.step < self.total and not self._out_of_patience():
                self.phases.enter(self.progress, self)
                tokens, shown = self._train_step()
                self.step += 1
                bar.advance(tokens, shown)
                if self.step % LOG_EVERY == 0 or self.step == self.total:
                    row = {"step": self.step, "split": "train", **self.meter.take()}
                    self.log.write("metrics.jsonl", row)
                    speed = {"step": self.step, "tokens_per_second": bar.tokens_per_second}
                    self.log.write("timing.jsonl", speed)
                if self.step % self.validate_every == 0 or self.step == self.total:
                    measured = self._validate(bar)
                if self.step % self.config.checkpoint_every == 0 or self.step == self.total:
                    self._save()
        finally:
            bar.close()
            self.log.close()
        return measured

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
            for name, value in loss.shown.items():
                sums[name] = sums.get(name, 0.0) + float(value) * batch.size
        norm = float(clip_grad_norm_(self.model.parameters(), self.config.clip))
        if not math.isfinite(norm):
            self._skip(np.concatenate(indices), norm)
            return tokens, {}
        self.bad = 0
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.step + 1)
        sums = self.process.mean({**sums, "sequences": float(rows)})
        size = sums.pop("sequences")
        if "kl" in sums and not self.phases.overrides(self.progress):
            self.objective.observe(sums["kl"] / size, size)
        self.meter.add(sums, size, {"learning_rate": rate, "gradient_norm": norm})
        return tokens, {k: sums[k] / size for k in ("reconstruction", "kl", "beta") if k in sums}

    def next_batch(self, part: int = 0) -> tuple[Batch, np.ndarray]:
        """The next batch on the device, corrupted where the run says so, and its indices."""
        raw = self.loader.next_batch()
        batch = Batch.from_raw(raw)
        noise = self.config.noise
        if noise.active:
            generator = np.random.default_rng(
                [self.experiment.seed, self.step, self.process.rank, part]
            )
            from seqvae.data.noise import corrupt

            values, lengths = corrupt(
                batch.encoder_values.numpy(),
                batch.encoder_lengths.numpy(),
                generator,
                drop=noise.drop,
                blank=noise.blank,
                substitute=noise.substitute,
                shuffle=noise.shuffle,
                vocab_size=self.corpus.tokenizer.vocab_size,
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
        row = {"step": self.step, "event": "non-finite gradient, step skipped", "norm": str(norm)}
        self.log.write("guard.jsonl", row)
        if self.bad >= self.config.bad_steps:
            path = self.run / f"bad_batch_{self.step}.json"
            store = self.corpus.split("train")
            texts = [self.corpus.tokenizer.decode(store.tokens(int(i)).tolist()) for i in indices]
            path.write_text(json.dumps({"indices": indices.tolist(), "texts": texts}, indent=1))
            raise UserError(
                f"{self.bad} steps in a row gave a gradient that is not finite (step {self.step}); "
                f"the batch is in {path}: look for broken text there, lower "
                "--training.learning-rate, or use --training.precision float32"
            )

    def _validate(self, bar: Progress) -> dict[str, Any]:
        with self.ema.applied() if self.ema is not None else contextlib.nullcontext():
            measured: dict[str, Any] = self.validation.measure(self.model)
            improved = self._improved(measured)
            self.log.write("metrics.jsonl", {"step": self.step, "split": "valid", **measured})
            if self.process.main and (improved or not (self.run / "best").exists()):
                self._write_weights("best", measured)
        bar.say(f"step {self.step}: {_words(measured)}")
        self.phases.after_validation(measured)
        if self.phases.overrides(self.progress):
            return measured
        verdict = self.guard.judge(measured, self.progress) if self.model.latent else None
        if verdict is not None and verdict.problem:
            row = {"step": self.step, "event": verdict.problem, "words": verdict.words}
            self.log.write("guard.jsonl", row)
            bar.say(f"GUARD at step {self.step}: {verdict.words}")
            if verdict.remedy == "rate_target":
                objective = self.experiment.objective
                rate = objective.rate if isinstance(objective, RateTarget) else 8.0
                self.rate_remedy = rate
                self.objective = RateTarget(rate=rate, start=0.01).build()
            elif verdict.remedy == "word_dropout":
                self.model.word_dropout = max(0.3, self.model.word_dropout)
        return measured

    def _improved(self, measured: dict[str, Any]) -> bool:
        """Whether these are the best weights so far, at the wanted rate."""
        config = self.experiment.objective
        if self.model.latent is not None and isinstance(config, RateTarget):
            # Before the rate is reached a lower bound only says that z is still silent.
            if abs(measured["kl"] / config.rate - 1) > 0.05:
                return False
        better = self.best is None or measured["bound"] < self.best
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = measured["bound"]
        return better

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.waited >= self.config.patience

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    def _write_weights(self, name: str, measured: dict[str, Any]) -> None:
        state = {"step": self.step, "measured": measured}
        write_checkpoint(self.run / name, {"model": self._weights()}, state)

    def _save(self) -> None:
        self.process.wait()
        if self.process.main:
            optimizer, numbers = _pack_optimizer(self.optimizer)
            tensors = {"model": self._weights(), "optimizer": optimizer}
            if self.ema is not None:
                tensors["ema"] = self.ema.values
            state = {
                "step": self.step,
                "loader": self.loader.state(),
                "objective": self.objective.state(),
                "rate_remedy": self.rate_remedy,
                "word_dropout": self.model.word_dropout,
                "guard": self.guard.state(),
                "phases": self.phases.state(),
                "meter": self.meter.state(),
                "optimizer": numbers,
                "best": self.best,
                "waited": self.waited,
                "skipped": self.skipped,
                "files": self.log.offsets(),
            }
            write_checkpoint(checkpoint_folder(self.run, self.step), tensors, state)
            prune(self.run, self.config.keep)
            if self.step >= self.total:
                with self.ema.applied() if self.ema is not None else contextlib.nullcontext():
                    self._write_weights("last", {})
        self.process.wait()

    def _resume(self) -> dict[str, int] | None:
        found = checkpoints(self.run)
        if not found:
            return None
        tensors, state = read_checkpoint(found[-1], self.device)
        self.model.load_state_dict(tensors["model"])
        self.phases.load_state(state["phases"], self)
        _unpack_optimizer(self.optimizer, tensors["optimizer"], state["optimizer"])
        if self.ema is not None:
            self.ema.load(tensors["ema"])
        self.step, self.best, self.waited = state["step"], state["best"], state["waited"]
        self.skipped = state["skipped"]
        self.rate_remedy = state["rate_remedy"]
        if self.rate_remedy is not None:
            self.objective = RateTarget(rate=self.rate_remedy, start=0.01).build()
        self.objective.load_state(state["objective"])
        self.model.word_dropout = state["word_dropout"]
        self.guard.load_state(state["guard"])
        self.meter.load_state(state["meter"])
        self.loader.load_state(state["loader"])
        if self.process.main:
            print(f"resuming {self.run} at step {self.step} of {self.total}", file=sys.stderr)
        files: dict[str, int] = state["files"]
        return files

    def _open_run(self) -> None:
        """Create the run's folder, or check that it is this run's."""
        path = self.run / "config.json"
        facts = {
            "seqvae": seqvae.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "data_fingerprint": self.corpus.fingerprint,
            "labels": self.corpus.labels,
            "pairs": self.corpus.has_pairs,
        }
        if path.exists():
            before, known = read_config(path)
            if to_json(before) != to_json(self.experiment):
                raise UserError(
                    f"{self.run} holds a run with other settings: {_difference(before, self.experiment)}; "
                    "use another folder, or the same settings to resume it"
                )
            if known.get("data_fingerprint") != self.corpus.fingerprint:
                raise UserError(f"{self.run} was trained on other data than {self.corpus.path}")
        elif self.process.main:
            try:
                self.run.mkdir(parents=True, exist_ok=True)
                (self.run / "checkpoints").mkdir(exist_ok=True)
                (self.run / "tokenizer.model").write_bytes(self.corpus.tokenizer.model)
                partial = path.with_name(".config.json.partial")
                write_config(partial, self.experiment, **facts)
                partial.replace(path)
            except OSError as error:
                raise UserError(f"cannot write the run {self.run}: {error.strerror}") from error
        self.process.wait()


def train(experiment: Experiment, *, overwrite: bool = False) -> dict[str, Any]:
    """Train a run, or go on with it where it stopped; returns the last validation's numbers.

    Args:
        experiment: the run.
        overwrite: delete what is in the run's folder first.

    Raises:
        UserError: see `Trainer`.
    """
    run = Path(experiment.run)
    if overwrite and (run / "config.json").exists():
        shutil.rmtree(run)
    try:
        trainer = Trainer(experiment)
        return trainer.fit()
    finally:
        distributed.leave()


def _pack_optimizer(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Adam's moments as named tensors; nothing that would need pickle."""
    packed = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            packed[f"{index}.{name}"] = torch.as_tensor(value)
    return packed, {"count": len(optimizer.state_dict()["state"])}


def _unpack_optimizer(
    optimizer: torch.optim.Optimizer, packed: dict[str, Tensor], numbers: dict[str, Any]
) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in packed.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    if len(state) != numbers["count"]:
        raise UserError("the checkpoint's optimizer state is incomplete; delete this checkpoint")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _difference(before: Experiment, now: Experiment) -> str:
    """The first setting in which two experiments differ, in words."""

    def walk(a: Any, b: Any, path: str) -> str:  # noqa: ANN401
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            for key in a:
                if a[key] != b[key]:
                    return walk(a[key], b[key], f"{path}.{key}" if path else key)
        return f"{path} was {a!r}, now {b!r}"

    return walk(to_json(before), to_json(now), "")


def _words(measured: dict[str, Any]) -> str:
    if "kl" not in measured:
        return f"validation NLL {measured['bound']:.2f} nats a sequence"
    return (
        f"bound {measured['bound']:.2f} nats, KL {measured['kl']:.2f}, MI {measured['mi']:.2f} of "
        f"{measured['mi_cap']:.2f}, {measured['active_units']:.0f}/{measured['dimensions']:.0f} units "
        f"active, prior gap {measured['prior_gap']:.2f}"
    )
