"""`FramesEngine`: the user's handle on a bundle of frames, as `seqvae.tasks.FramesModel` is on a trained model.

The same arguments give the same frames as there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import FRAMES_OPTIONS, MODEL
from seqvae.export.bundle_sequences import read_sequences
from seqvae.serving import runtime
from seqvae.serving.interpolation import between
from seqvae.serving.session import Array, Sessions

Floats = np.ndarray[Any, np.dtype[np.float32]]
Many = Sequence[np.ndarray[Any, Any]] | np.ndarray[Any, Any]
"""Sequences [T, F]: a list of them, or one array [N, T, F]."""
NEAR, FAR = 1e-3, 3e-2
"""Greatest relative error of what was stored at export, on a processor and on a GPU, which may round to 10 bits."""
# Sequences of one call.
_AT_ONCE = 256


class FramesEngine:
    """An open bundle of frames. Every method may be called from several threads at once.

    Sequences are arrays [T, F], in the numbers that the corpus has once it is prepared (`facts` says how raw
    ones become those); many are a list, or one array [N, T, F]. What is written comes as a list.

    Args:
        bundle: the folder, or an open one.
        variant: one of the bundle's; by default its own choice.
        provider: where to compute; `auto` takes a GPU where there is one.
        threads: for one operator; None: one for each core.
        verify: compare every file's sha256 before it is used.

    Attributes:
        bundle: the open bundle.
        variant: in use.
        provider: where it computes.
        facts: what flows in and out.
        labels: names that a conditional model knows; none of another.

    Raises:
        UserError: the bundle is damaged or of something else, an argument is wrong, or a package is missing.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        variant: str | None = None,
        provider: runtime.Provider = "auto",
        threads: int | None = None,
        verify: bool = True,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, verify=verify)
        if self.bundle.frames is None:
            other = "Converter" if self.bundle.kind == "speech" else "Engine"
            raise UserError(
                f"{self.bundle.path} is a bundle of {self.bundle.kind}; use seqvae.serving.{other} for it"
            )
        self.facts, self.labels = self.bundle.frames, self.bundle.labels
        self.variant = variant or self.bundle.default_variant
        self.provider = runtime.resolve(provider)
        parts = self.bundle.variant(self.variant).parts
        paths = {part: self.bundle.part(self.variant, part) for part in parts}
        self._sessions = Sessions(paths, provider=self.provider, threads=threads)

    def reconstruct(
        self,
        sequences: Many,
        labels: Sequence[str] | None = None,
        *,
        targets: Sequence[str] | None = None,
        noise_scale: float = 0.0,
        seed: int = 0,
    ) -> list[Floats]:
        """The sequences written again, in one call of `model.onnx`; of a denoiser, repaired.

        Args:
            sequences: one or more.
            labels: name of each one's label; needed where the model is conditional, else not looked at.
            targets: name of the label under which each is written; None: its own.
            noise_scale: 0 writes from what was understood, 1 from around it as widely as the posterior is.
            seed: of the noise; sequence k is its sample k.

        Raises:
            UserError: none, one that does not fit the model or is not finite, labels that it does not know, or a number
                is out of range.
        """
        _check("noise_scale", noise_scale)
        _check("seed", seed)
        feed = self._read(sequences, labels)
        count = len(feed["frames"])
        if targets is not None:
            if not self.labels:
                raise UserError("reconstruct: this model knows no labels; leave the targets out")
            feed["target"] = self._numbers(targets, count)["label"]
        feed |= self._noise(count, seed)
        options = {"noise_scale": np.array([[noise_scale]], np.float32)}
        return self._written(MODEL, feed, feed["lengths"], options)

    def encode(self, sequences: Many, labels: Sequence[str] | None = None) -> Floats:
        """Posterior means [N, D]; see `reconstruct`.

        Raises:
            UserError: see `reconstruct`.
        """
        return self.posterior(sequences, labels)[0]

    def posterior(
        self, sequences: Many, labels: Sequence[str] | None = None
    ) -> tuple[Floats, Floats]:
        """Means and log-variances [N, D] of the posterior of each sequence; see `reconstruct`.

        Raises:
            UserError: see `reconstruct`.
        """
        found = self._run("encoder", self._read(sequences, labels), {})
        mean, log_variance = (
            np.concatenate([part[name] for part in found]) for name in ("mean", "log_variance")
        )
        return mean, log_variance

    def decode(
        self,
        z: np.ndarray[Any, Any],
        lengths: Sequence[int] | int | None = None,
        labels: Sequence[str] | None = None,
    ) -> list[Floats]:
        """Sequences of vectors z [N, D].

        Args:
            z: the vectors.
            lengths: frames of each, or of all; None: the most there are.
            labels: see `reconstruct`.

        Raises:
            UserError: vectors that are not the model's, lengths that it does not write, or see `reconstruct`.
        """
        vectors = np.asarray(z, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.bundle.latent:
            raise UserError(
                f"decode: z has the shape {vectors.shape}; this model's is [N, {self.bundle.latent}]"
            )
        if not np.isfinite(vectors).all():
            raise UserError("decode: z has a number that is not finite")
        if not len(vectors):
            return []
        sizes = self._lengths(lengths, len(vectors))
        feed = {"z": vectors, "lengths": sizes, **self._numbers(labels, len(vectors))}
        return self._written("decoder", feed, sizes, {})

    def sample(
        self,
        n: int = 10,
        *,
        length: int | None = None,
        labels: Sequence[str] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[Floats]:
        """New sequences, z from the prior.

        Args:
            n: how many; the first of many are those of fewer.
            length: frames of each; None: the most there are.
            labels: of each; of a conditional model by default all it knows in turn.
            temperature: z is multiplied by it: below 1 nearer to the middle of the prior, more alike.
            seed: of everything random.

        Raises:
            UserError: a number is out of range, or see `reconstruct`.
        """
        if isinstance(n, bool) or n < 0:
            raise UserError(f"sample: n is {n}; it must be 0 or more")
        _check("seed", seed)
        _check("temperature", temperature)
        if not n:
            return []
        if self.labels and labels is None:
            labels = [self.labels[number % len(self.labels)] for number in range(n)]
        sizes = self._lengths(length, n)
        feed = {"lengths": sizes, **self._noise(n, seed), **self._numbers(labels, n)}
        options = {"temperature": np.array([[temperature]], np.float32)}
        return self._written("generate", feed, sizes, options)

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
            UserError: `steps` is below 2, or see `reconstruct`.
        """
        if steps < 2:
            raise UserError(
                f"interpolate: steps is {steps}; it must be 2 or more, both ends included"
            )
        ends = self.encode([first, last], labels)
        way = between(ends[0], ends[1], steps, spherical=True)
        kept = None if labels is None else [labels[0]] * steps
        return self.decode(way, len(first), kept)

    def warm_up(self) -> None:
        """Open every graph and run it once, so that the first call waits for nothing."""
        first = None if not self.labels else [self.labels[0]]
        (written,) = self.sample(1, labels=first)
        self.reconstruct([written], first)
        self.decode(self.encode([written], first), labels=first)

    def check_golden(self) -> None:
        """Compare with the sequences stored at export.

        Raises:
            UserError: one differs; names the worst.
        """
        errors = {}
        for one in read_sequences(self.bundle):
            if self.variant not in one.written:
                continue
            feed: dict[str, Array] = {
                "frames": one.frames[None],
                "lengths": np.array([len(one.frames)]),
            }
            for name, number in (("label", one.label), ("target", one.target)):
                if number is not None:
                    feed[name] = np.array([number])
            for name, value in one.options.items():
                feed[name] = np.array([[value]], np.dtype(FRAMES_OPTIONS[name].dtype))
            found = self._sessions.run(MODEL, feed, ["written"])["written"][0]
            wanted = one.written[self.variant]
            size = max(float(np.linalg.norm(wanted)), 1e-30)
            error = float(np.linalg.norm(found - wanted) / size)
            errors[one.name] = error if np.isfinite(error) else np.inf
        limit = NEAR if self.provider == "cpu" else FAR
        worst = max(errors, key=errors.__getitem__, default=None)
        if worst is not None and errors[worst] > limit:
            raise UserError(
                f"golden check: {worst!r} of variant {self.variant} differs from what it was at export by "
                f"{errors[worst]:.2g}, and {limit:g} is allowed; export the bundle again with this version of "
                "onnxruntime"
            )

    def close(self) -> None:
        """Give back the memory of the graphs; a later call opens them again."""
        self._sessions.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _read(self, sequences: Many, labels: Sequence[str] | None) -> dict[str, Array]:
        """What graphs that read are given: frames behind the end of a sequence are 0."""
        features, longest = self.facts.features, self.facts.longest
        arrays = [np.asarray(values, np.float32) for values in sequences]
        if not arrays:
            raise UserError("no sequence given")
        for number, values in enumerate(arrays):
            if values.ndim != 2 or values.shape[1] != features or not len(values):
                raise UserError(
                    f"sequence {number} has the shape {values.shape}; this model reads [frames, {features}]"
                )
            if len(values) > longest:
                raise UserError(
                    f"sequence {number} has {len(values)} frames; this model reads at most {longest}"
                )
            if not np.isfinite(values).all():
                raise UserError(f"sequence {number} has a number that is not finite")
        lengths = np.array([len(values) for values in arrays])
        frames = np.zeros((len(arrays), int(lengths.max()), features), np.float32)
        for row, values in enumerate(arrays):
            frames[row, : len(values)] = values
        return {"frames": frames, "lengths": lengths, **self._numbers(labels, len(arrays))}

    def _numbers(self, labels: Sequence[str] | None, count: int) -> dict[str, Array]:
        """The input `label`, where the model has it."""
        if not self.labels:
            return {}
        known = ", ".join(self.labels)
        if labels is None or len(labels) != count:
            raise UserError(
                f"this model needs the label of each of {count} sequences; it knows {known}"
            )
        unknown = [label for label in labels if label not in self.labels]
        if unknown:
            raise UserError(f"no label {unknown[0]!r}; this model knows {known}")
        return {"label": np.array([self.labels.index(label) for label in labels])}

    def _lengths(self, wanted: Sequence[int] | int | None, count: int) -> Array:
        longest = self.facts.longest
        every = longest if wanted is None else wanted
        each = [every] * count if isinstance(every, int) else list(every)
        if len(each) != count or any(not 1 <= size <= longest for size in each):
            raise UserError(f"lengths must be from 1 to {longest} frames, one of each sequence")
        return np.array(each, np.int64)

    @staticmethod
    def _noise(count: int, seed: int) -> dict[str, Array]:
        return {
            "seed": np.full((count, 1), seed, np.int64),
            "sample": np.arange(count, dtype=np.int64)[:, None],
        }

    def _run(
        self, part: str, feed: dict[str, Array], options: dict[str, Array]
    ) -> list[dict[str, Array]]:
        """What a graph makes of rows, some at a time; `options` are the same for all."""
        count = len(feed["lengths"])
        return [
            self._sessions.run(
                part, {n: v[first : first + _AT_ONCE] for n, v in feed.items()} | options
            )
            for first in range(0, count, _AT_ONCE)
        ]

    def _written(
        self, part: str, feed: dict[str, Array], lengths: Array, options: dict[str, Array]
    ) -> list[Floats]:
        rows = [row for found in self._run(part, feed, options) for row in found["written"]]
        return [row[:size] for row, size in zip(rows, lengths.tolist(), strict=True)]


def _check(name: str, value: float) -> None:
    """Refuse an option out of its range."""
    known = FRAMES_OPTIONS[name]
    whole = known.dtype == "int64"
    plain = isinstance(value, int | np.integer if whole else int | float | np.integer | np.floating)
    high = known.high if known.high is not None else np.inf
    if not plain or isinstance(value, bool) or not known.low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise UserError(f"{name} is {value!r}; it must be {kind} from {known.low} to {high}")
