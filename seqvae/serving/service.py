"""What the handlers of all addresses share: the engine behind its batcher, limits and metrics."""

import asyncio
import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

from seqvae.export.bundle_speech import SpeechFacts
from seqvae.serving.batcher import Batcher, Job
from seqvae.serving.limits import Limits
from seqvae.serving.metrics import Metrics
from seqvae.serving.options import Options, Row
from seqvae.serving.refusal import Refusal
from seqvae.serving.results import Paraphrase, Score, Written
from seqvae.serving.sound_tensors import Tensors
from seqvae.serving.sounds import Outputs, SoundRow

if TYPE_CHECKING:
    from seqvae.serving.converter import Converter
    from seqvae.serving.converting import Voices
    from seqvae.serving.engine import Engine
    from seqvae.tasks.recording import Recording

Array = np.ndarray[Any, np.dtype[Any]]


class AnyEngine(Protocol):
    """What a server needs of every engine; every method may be called from a thread."""

    def warm_up(self) -> None:
        """Make the first request as fast as the others."""

    def check_golden(self) -> None:
        """Raise a UserError when it does not compute what it should."""

    def close(self) -> None:
        """Give back what it holds."""


class SoundEngine(AnyEngine, Protocol):
    """What a server needs of `seqvae.serving.Converter`."""

    def run(self, rows: Sequence[SoundRow]) -> list[Outputs]:
        """What the graphs make of rows."""

    def tensors(self) -> Mapping[str, Tensors]:
        """What goes in and out of each graph."""

    def vectors(self) -> "Voices":
        """The voices with their vectors."""

    def recording(self, source: bytes, *, longest: float | None = None) -> "Recording":
        """The content of a sound file as the model reads it."""


class TextEngine(AnyEngine, Protocol):
    """What a server needs of `seqvae.serving.Engine`."""

    def generate(self, rows: Sequence[Row]) -> list[Written]:
        """Write every row, each with options of its own."""

    def encode(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Means and log-variances [N, D] of q(z | text)."""

    def paraphrase(
        self, texts: Sequence[str], n: int, *, noise_scale: float, options: Options, distinct: bool
    ) -> list[Paraphrase]:
        """Up to `n` paraphrases of each text."""

    def sample(self, n: int, options: Options) -> list[str]:
        """`n` texts with z from the prior."""

    def interpolate(
        self, a: str, b: str, steps: int, *, spherical: bool, options: Options
    ) -> list[str]:
        """`steps` texts from the reconstruction of `a` to that of `b`."""

    def score(self, texts: Sequence[str], samples: int, seed: int) -> list[Score]:
        """What the model says of each text, in nats."""

    def stream(self, row: Row) -> Iterator[str]:
        """The text of a row in parts, as they are written."""


@dataclass(frozen=True)
class Facts:
    """What there is to say of a loaded bundle.

    Attributes:
        name: of the bundle: its folder.
        version: of seqvae that wrote it.
        kind: text or speech.
        tasks: names of what it can do.
        latent: size of z; 0 for a language model.
        max_length: longest sequence in tokens, start and end included.
        beam_size: hypotheses of beam search.
        labels: names of the classes it was trained with; of speech those of its voices.
        options: of a row: {name: {default, low, high, dtype}}.
        variant: in use.
        provider: where it computes.
        speech: of speech: what else there is to know.
    """

    name: str
    version: str
    kind: str
    tasks: tuple[str, ...]
    latent: int
    max_length: int
    beam_size: int
    labels: tuple[str, ...]
    options: dict[str, dict[str, Any]]
    variant: str
    provider: str
    speech: SpeechFacts | None = None


def facts_of(engine: "Engine | Converter") -> Facts:
    """The facts of an engine's bundle."""
    bundle = engine.bundle
    return Facts(
        name=bundle.path.name,
        version=bundle.version,
        kind=bundle.kind,
        tasks=tuple(bundle.tasks),
        latent=bundle.latent,
        max_length=bundle.max_length,
        beam_size=bundle.beam_size,
        labels=tuple(bundle.labels),
        options={
            name: {"default": r.default, "low": r.low, "high": r.high, "dtype": r.dtype}
            for name, r in bundle.options.items()
        },
        variant=engine.variant,
        provider=engine.provider,
        speech=bundle.speech,
    )


class State(Enum):
    """Of a server's life."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    """Not ready any more, so that no new clients are sent here; requests are still served."""
    DRAINING = "draining"
    """No further request is taken."""


@dataclass(frozen=True)
class Model:
    """A loaded model, of the kind that its facts say."""

    engine: TextEngine | SoundEngine
    facts: Facts

    def text(self) -> TextEngine:
        """The engine of a text bundle.

        Raises:
            Refusal: 404 it is one of speech.
        """
        self._need("text")
        return cast(TextEngine, self.engine)

    def sound(self) -> SoundEngine:
        """The engine of a speech bundle.

        Raises:
            Refusal: 404 it is one of text.
        """
        self._need("speech")
        return cast(SoundEngine, self.engine)

    def _need(self, kind: Literal["text", "speech"]) -> None:
        if self.facts.kind != kind:
            offers = {
                "text": "/v1/paraphrase and /v1/score",
                "speech": "/v1/convert and /v1/voices",
            }
            raise Refusal(
                404,
                f"this needs a {kind} bundle, and a {self.facts.kind} bundle is served: it offers "
                f"{offers[self.facts.kind]}; see /openapi.json",
            )


# The key of a job is the name of a task and its arguments that all items of a call share.
Key = tuple[Hashable, ...]


@dataclass
class Service:
    """The engine behind its queue, and what is known of both.

    Attributes:
        limits: on requests.
        metrics: that `/metrics` shows.
        state: whether requests are served.
        model: once it is loaded.
        streaming: texts being streamed.
        converting: sounds being converted.
        receiving: bytes of bodies that are being received, and of sounds that are worked on.
    """

    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    state: State = State.STARTING
    model: Model | None = None
    streaming: int = 0
    converting: int = 0
    receiving: int = 0

    def __post_init__(self) -> None:
        self.batcher = Batcher(self._call, self.limits, self._observe)

    def loaded(self) -> Model:
        """The model, when requests for it are served.

        Raises:
            Refusal: 503 not yet, or no longer.
        """
        if self.model is None or self.state is State.STARTING:
            words = "the model is being loaded"
        elif self.state is State.DRAINING:
            words = "the server stops"
        else:
            return self.model
        raise Refusal(503, words, headers={"Retry-After": "1"}, reason="REJECTED")

    def check_room(self, name: str) -> None:
        """Refuse a request before its body is read when the queue is full anyway.

        Args:
            name: of the task, for the metrics.

        Raises:
            Refusal: 503 or 429.
        """
        try:
            self.batcher.check_room()
        except Refusal as error:
            self.metrics.failed(name, error.reason)
            raise

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on."""
        return self.batcher.busy or self.streaming > 0 or self.converting > 0

    @contextlib.contextmanager
    def converts(self) -> Iterator[None]:
        """Count a sound that is being converted: it has a thread, and between two pieces nothing in the queue.

        Raises:
            Refusal: 503 or 429 as many are as can wait and run.
        """
        if self.converting >= self.limits.max_queue + self.limits.max_batch:
            raise Refusal(
                self.limits.overload_status,
                f"{self.converting} sounds are being converted, as many as there may be",
                headers={"Retry-After": "1"},
                reason="REJECTED",
            )
        self.converting += 1
        try:
            yield
        finally:
            self.converting -= 1

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Count bytes that a request keeps in memory while it is worked on.

        Raises:
            Refusal: 503 too many with those of others.
        """
        if self.receiving + size > self.limits.max_bodies_mb * 2**20:
            raise Refusal(
                503,
                "too many large requests at once",
                headers={"Retry-After": "1", "Connection": "close"},
                reason="REJECTED",
            )
        self.receiving += size
        try:
            yield
        finally:
            self.receiving -= size

    async def run(
        self,
        key: Key,
        items: Sequence[Any],
        rows: int,
        timeout: float | None = None,
        *,
        admitted: bool = False,
    ) -> list[Any]:
        """Results of one request's items, computed together with those of others.

        Args:
            key: (task, arguments...); see `_call` for the tasks.
            items: one a result.
            rows: texts that will be written.
            timeout: seconds.
            admitted: whether this is a further part of a request that was taken before.

        Raises:
            Refusal: see `Batcher.submit`; 503 before the model is loaded.
        """
        if not admitted:
            self.loaded()
        name = str(key[0])
        began = asyncio.get_running_loop().time()
        try:
            found = await self.batcher.submit(key, items, rows, timeout, admitted=admitted)
        except BaseException as error:
            reason = "BACKEND"
            if isinstance(error, Refusal):
                reason = error.reason
            elif isinstance(error, asyncio.CancelledError):
                reason = "CANCELED"
            self.metrics.failed(name, reason)
            raise
        self.metrics.succeeded(name, asyncio.get_running_loop().time() - began)
        return found

    def _call(self, key: Any, items: list[Any]) -> Sequence[Any]:  # noqa: ANN401
        """Run in the engine's thread."""
        assert self.model is not None
        if self.model.facts.kind == "speech":
            return self.model.sound().run(items)
        engine = self.model.text()
        match key:
            case ("model",):
                return engine.generate(items)
            case ("encoder",):
                means, log_variances = engine.encode(items)
                return list(zip(means, log_variances, strict=True))
            case ("score", samples, seed):
                return engine.score(items, samples, seed)
            case ("paraphrase", n, options, distinct):
                return engine.paraphrase(
                    items, n, noise_scale=options.noise_scale, options=options, distinct=distinct
                )
            case ("sample", options):
                return [engine.sample(n, options) for n in items]
            case ("interpolate", steps, spherical, options):
                return [
                    engine.interpolate(a, b, steps, spherical=spherical, options=options)
                    for a, b in items
                ]
        raise AssertionError(key)

    def _observe(self, jobs: Sequence[Job], seconds: float) -> None:
        name = str(jobs[0].key[0])  # type: ignore[index]
        waited = [job.started - job.arrived for job in jobs]
        self.metrics.executed(name, [job.rows for job in jobs], waited, seconds)
        facts = self.model and self.model.facts.speech
        if facts:
            samples = sum(len(row.audio) for job in jobs for row in job.items)
            self.metrics.sounded(name, samples / facts.rate, seconds)
