"""Which stepper a stream gets."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from seqvae.serving import runtime
from seqvae.serving.captured import CapturedStepper
from seqvae.serving.session import Sessions
from seqvae.serving.stepper import BoundStepper, FeedStepper, Stepper


class Steppers:
    """Lends one stepper to each stream.

    Args:
        sessions: hold `start` and `step`.
        latent: size D of z; 0 for a language model.
        limit: most steps of a stream.
        captured: on a GPU, use captured CUDA graphs for one stream at a time.
    """

    def __init__(
        self, sessions: Sessions, *, latent: int, limit: int, captured: bool = False
    ) -> None:
        self._sessions, self._latent, self._limit = sessions, latent, limit
        self._wanted = captured and sessions.provider == "cuda"
        self._captured: CapturedStepper | None = None
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[Stepper]:
        """A stepper until the end of the block."""
        # Captured graphs have one set of addresses: who comes second does without.
        if self._wanted and self._lock.acquire(blocking=False):
            try:
                yield self._only() or self._new()
            finally:
                self._lock.release()
        else:
            yield self._new()

    def close(self) -> None:
        """Let go of the captured graphs."""
        with self._lock:
            self._captured = None

    def _new(self) -> Stepper:
        if self._sessions.provider == "cpu":
            return FeedStepper(self._sessions)
        start, step = self._sessions.session("start"), self._sessions.session("step")
        return BoundStepper(start, step, "cuda")

    def _only(self) -> CapturedStepper | None:
        if self._captured is None:
            try:
                self._captured = CapturedStepper(
                    self._sessions.session("start"),
                    self._sessions.open("step", graphs=True),
                    "cuda",
                    latent=self._latent,
                    limit=self._limit,
                )
            except Exception as error:  # noqa: BLE001 (onnxruntime's share no other base)
                self._wanted = False
                runtime.warn_of_fallback(str(error), "steps without CUDA graphs")
        return self._captured
