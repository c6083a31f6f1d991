"""`FramesModel`: a trained run on frames of numbers, ready to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.data.frames.sequences import Floats
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.model_frames import FramesVAE
from seqvae.ops import uniform
from seqvae.posteriors.posterior import Posterior, joined
from seqvae.tasks.interpolate import between

# Sequences of one batch.
_AT_ONCE = 256


Many = Sequence[npt.NDArray[Any]] | npt.NDArray[Any]


@dataclass(frozen=True)
class FramesScores:
    """How surprising sequences are; high ones are anomalies.

    Attributes:
        nll_iw: importance-weighted -log p(x) of each in nats, [N].
        elbo: negative ELBO in nats, [N].
        kl: nats that z carries, [N]; zeros without a latent.
        squared_error: of a number written from the posterior mean, in the data's units, [N]; None without a
            latent. Of digits it finds one that was never seen better than the nats do (docs/digits.md): numbers
            that hardly vary have little say in it.
    """

    nll_iw: Floats
    elbo: Floats
    kl: Floats
    squared_error: Floats | None


class FramesModel:
    """A model of frames.

    Sequences are arrays [T, F], in the numbers that the corpus has once it is prepared; many of them are a list,
    or one array [N, T, F]. What is written comes as a list.

    Args:
        model: the network, in evaluation mode.
        labels: names of the labels that it was trained with.
        info: the run's facts.
    """

    def __init__(self, model: FramesVAE, labels: Sequence[str], info: dict[str, Any]) -> None:
        self.model, self.labels, self.info = model, list(labels), info
        self.device = next(model.parameters()).device

    @property
    def features(self) -> int:
        """Numbers F of a frame."""
        return int(self.info["features"])

    @property
    def longest(self) -> int:
        """Most frames of a sequence."""
        return self.model.decoder.longest

    @property
    def conditional(self) -> bool:
        """Whether a label is needed for everything."""
        return self.model.labels is not None

    def batch(self, sequences: Many, labels: Sequence[str] | None = None) -> Batch:
        """Sequences as the network takes them.

        Args:
            sequences: one or more.
            labels: name of each one's label; needed where the model is conditional, else not looked at.

        Raises:
            UserError: none, one that does not fit the model or is not finite, or labels that it does not know.
        """
        arrays = [np.asarray(values, np.float32) for values in sequences]
        if not arrays:
            raise UserError("no sequence given")
        for number, values in enumerate(arrays):
            if values.ndim != 2 or values.shape[1] != self.features or not len(values):
                raise UserError(
                    f"sequence {number} has the shape {values.shape}; this model reads [frames, {self.features}]"
                )
            if len(values) > self.longest:
                raise UserError(
                    f"sequence {number} has {len(values)} frames; this model reads at most {self.longest}"
                )
            if not np.isfinite(values).all():
                raise UserError(f"sequence {number} has a number that is not finite")
        lengths = torch.tensor([len(values) for values in arrays])
        padded = np.zeros((len(arrays), int(lengths.max()), self.features), np.float32)
        for row, values in enumerate(arrays):
            padded[row, : len(values)] = values
        numbers = self.numbers(labels, len(arrays))
        return Batch(torch.from_numpy(padded), lengths, numbers).to(self.device)

    def numbers(self, labels: Sequence[str] | None, count: int) -> Tensor | None:
        """Numbers [count] of labels, None where the model needs none.

        Raises:
            UserError: they are missing, not as many, or not known.
        """
        if not self.conditional:
            return None
        known = ", ".join(self.labels)
        if labels is None or len(labels) != count:
            raise UserError(
                f"this model needs the label of each of {count} sequences; it knows {known}"
            )
        unknown = [label for label in labels if label not in self.labels]
        if unknown:
            raise UserError(f"no label {unknown[0]!r}; this model knows {known}")
        return torch.tensor([self.labels.index(label) for label in labels], device=self.device)

    @torch.inference_mode()
    def encode(self, sequences: Many, labels: Sequence[str] | None = None) -> Floats:
        """Posterior means [N, D]; see `batch`.

        Raises:
            UserError: see `batch`, or the model has no latent.
        """
        self._need_latent("encode")
        found: Floats = self._posterior(self.batch(sequences, labels)).mean.cpu().numpy()
        return found

    def decode(
        self,
        z: npt.NDArray[np.floating],
        lengths: Sequence[int] | int | None = None,
        labels: Sequence[str] | None = None,
        *,
        draw: bool = False,
        seed: int = 0,
    ) -> list[Floats]:
        """Sequences of vectors z [N, D].

        Args:
            z: the vectors; of a model without a latent, [N, 0].
            lengths: frames of each, or of all; None: the most there are.
            labels: see `batch`.
            draw: draw each number from what the model expects, instead of its mean.
            seed: of the draws.

        Raises:
            UserError: lengths that the model does not write, or see `batch`.
        """
        count = len(z)
        every = self.longest if lengths is None else lengths
        wanted = [every] * count if isinstance(every, int) else list(every)
        if len(wanted) != count or any(not 1 <= size <= self.longest for size in wanted):
            raise UserError(
                f"lengths must be from 1 to {self.longest} frames, one of each sequence"
            )
        if not count:
            return []
        sizes = torch.tensor(wanted, device=self.device)
        vectors = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        numbers = self.numbers(labels, count)
        noise = None
        if draw:
            key = torch.tensor([seed], device=self.device)
            noise = uniform(key, (count, int(sizes.max()), self.features))
        written: list[Floats] = []
        for start in range(0, count, _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            frames = self.model.write(
                None if self.model.latent is None else vectors[rows],
                sizes[rows],
                None if numbers is None else numbers[rows],
                None if noise is None else noise[rows, : int(sizes[rows].max())],
            )
            arrays = frames.cpu().numpy()
            written += [
                values[:size] for values, size in zip(arrays, sizes[rows].tolist(), strict=True)
            ]
        return written

    def sample(
        self,
        n: int = 10,
        *,
        length: int | None = None,
        labels: Sequence[str] | None = None,
        temperature: float = 1.0,
        draw: bool = False,
        seed: int = 0,
    ) -> list[Floats]:
        """New sequences, z from the prior.

        Args:
            n: how many.
            length: frames of each; None: the most there are.
            labels: of each; of a conditional model by default all it knows in turn.
            temperature: z is multiplied by it: below 1 nearer to the middle of the prior, more alike.
            draw: see `decode`; a model without a latent must draw.
            seed: of everything random.

        Raises:
            UserError: see `decode`, or every sequence would be the same.
        """
        if n < 0:
            raise UserError(f"sample: n is {n}; it must be 0 or more")
        if not temperature > 0:
            raise UserError(f"sample: temperature must be above 0, got {temperature}")
        if self.conditional and labels is None:
            labels = [self.labels[number % len(self.labels)] for number in range(n)]
        latent = self.model.latent
        if latent is None:
            if not draw:
                raise UserError(
                    "sample: without a latent each sequence would be the same; draw them"
                )
            return self.decode(np.zeros((n, 0)), length, labels, draw=True, seed=seed)
        with torch.inference_mode():
            z = latent.prior.sample(torch.tensor([seed], device=self.device), n) * temperature
        return self.decode(z.cpu().numpy(), length, labels, draw=draw, seed=seed)

    def reconstruct(
        self,
        sequences: Many,
        labels: Sequence[str] | None = None,
        *,
        targets: Sequence[str] | None = None,
        noise_scale: float = 0.0,
        draw: bool = False,
        seed: int = 0,
    ) -> list[Floats]:
        """The sequences written again from what was understood of them; of a denoiser, repaired.

        Args:
            sequences: one or more.
            labels: see `batch`.
            targets: of a conditional model, name of the label under which each is written; None: its own.
            noise_scale: 0 writes from the posterior means, 1 from samples of the posterior.
            draw: see `decode`.
            seed: of the samples and of what is drawn.

        Raises:
            UserError: see `batch`, the model has no latent or knows no labels, or `noise_scale` is below 0.
        """
        self._need_latent("reconstruct")
        if not noise_scale >= 0:
            raise UserError(f"reconstruct: noise_scale must be 0 or more, got {noise_scale}")
        if targets is not None and not self.conditional:
            raise UserError("reconstruct: this model knows no labels; leave the targets out")
        with torch.inference_mode():
            posterior = self._posterior(self.batch(sequences, labels))
            key = torch.tensor([seed], device=self.device)
            z = posterior.sample(key, 1, noise_scale)[0] if noise_scale else posterior.mean
        lengths = [len(values) for values in sequences]
        written_as = labels if targets is None else targets
        return self.decode(z.cpu().numpy(), lengths, written_as, draw=draw, seed=seed)

    def interpolate(
        self, first: Floats, last: Floats, steps: int = 8, labels: Sequence[str] | None = None
    ) -> list[Floats]:
        """`steps` sequences from the reconstruction of `first` [T, F] to that of `last`, along the arc.

        Args:
            first: where it starts; its length is that of all.
            last: where it ends.
            steps: both ends included.
            labels: of the two; that of the first is kept on the way.

        Raises:
            UserError: see `batch`, `steps` is below 2, or the model has no latent.
        """
        if steps < 2:
            raise UserError(
                f"interpolate: steps is {steps}; it must be 2 or more, both ends included"
            )
        ends = torch.from_numpy(self.encode([first, last], labels))
        way = between(ends[0], ends[1], torch.linspace(0, 1, steps), spherical=True)
        kept = None if labels is None else [labels[0]] * steps
        return self.decode(way.numpy(), len(first), kept)

    def score(
        self,
        sequences: Many,
        labels: Sequence[str] | None = None,
        samples: int = 100,
        seed: int = 0,
    ) -> FramesScores:
        """How surprising sequences are.

        Args:
            sequences: to be judged.
            labels: see `batch`.
            samples: K of the importance-weighted likelihood.
            seed: fixes all samples.

        Raises:
            UserError: see `batch`, or `samples` is below 1.
        """
        if samples < 1:
            raise UserError(f"score: samples is {samples}; it must be 1 or more")
        columns: list[tuple[Tensor, ...]] = []
        for part in self._parts(self.batch(sequences, labels)):
            bound = elbo(self.model, part, seed)
            nll = importance_weighted(self.model, part, samples, seed)
            columns.append((nll, bound.nll, bound.kl))
        nats = [torch.cat(column).cpu().numpy() for column in zip(*columns, strict=True)]
        squared = None
        if self.model.latent is not None:
            written = self.reconstruct(sequences, labels)
            errors = [
                np.square(again - values).mean()
                for again, values in zip(written, sequences, strict=True)
            ]
            squared = np.array(errors, np.float32)
        return FramesScores(nats[0], nats[1], nats[2], squared)

    def _posterior(self, batch: Batch) -> Posterior:
        return joined([self.model.encode(part) for part in self._parts(batch)])

    def _parts(self, batch: Batch) -> list[Batch]:
        parts = []
        for start in range(0, batch.size, _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            labels = None if batch.labels is None else batch.labels[rows]
            parts.append(Batch(batch.values[rows], batch.lengths[rows], labels))
        return parts

    def _need_latent(self, task: str) -> None:
        if self.model.latent is None:
            raise UserError(f"{task}: this model has no latent (it was trained with --latent none)")
