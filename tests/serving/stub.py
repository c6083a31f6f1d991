"""An engine that echoes, and a server around it on a real socket."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqvae.errors import UserError
from seqvae.serving.http import build
from seqvae.serving.lifecycle import Server
from seqvae.serving.limits import Limits
from seqvae.serving.listen import Listen
from seqvae.serving.options import Options, Row
from seqvae.serving.results import Candidate, Paraphrase, Piece, Score, Written
from seqvae.serving.service import Array, Facts, Model, Service, State

LATENT = 3
FACTS = Facts(
    name="toy",
    version="0.1.0",
    kind="text",
    tasks=("paraphrase", "sample", "interpolate", "score"),
    latent=LATENT,
    max_length=32,
    beam_size=4,
    labels=(),
    options={"seed": {"default": 0, "low": -(2**63), "high": 2**63 - 1, "dtype": "int64"}},
    variant="cpu-fp32",
    provider="cpu",
)


def echo(text: str, options: Options) -> str:
    """What the stub writes: it tells every row and option apart."""
    return f"{text}|{options.seed}|{options.temperature:g}|{options.beam}"


@dataclass
class StubEngine:
    """Answers what it was asked; slow or faulty on request.

    A text with "boom" in it raises, one with "long" is a user's mistake, a call takes `seconds`, and
    none ends before `gate` is set.
    """

    seconds: float = 0.0
    gate: threading.Event | None = None
    calls: list[int] = field(default_factory=list)
    checked: bool = False
    closed: bool = False

    def _work(self, texts: Sequence[str]) -> None:
        self.calls.append(len(texts))
        if self.seconds:
            time.sleep(self.seconds)
        if self.gate is not None:
            self.gate.wait(30)
        for number, text in enumerate(texts):
            if "boom" in text:
                raise RuntimeError("a secret of the server")
            if "long" in text:
                raise UserError(f"texts: item {number} has more than 30 pieces")

    def generate(self, rows: Sequence[Row]) -> list[Written]:
        self._work([row.text for row in rows])
        return [
            Written(echo(row.text, row.options), [5] * len(row.text), -float(len(row.text)), True)
            for row in rows
        ]

    def encode(self, texts: Sequence[str]) -> tuple[Array, Array]:
        self._work(texts)
        mean = np.array([[len(text)] * LATENT for text in texts], np.float32)
        return mean, -mean

    def paraphrase(
        self, texts: Sequence[str], n: int, *, noise_scale: float, options: Options, distinct: bool
    ) -> list[Paraphrase]:
        self._work(texts)
        return [
            Paraphrase(
                text, [Candidate(f"{text} {k} {noise_scale:g}", -1.0 * k, False) for k in range(n)]
            )
            for text in texts
        ]

    def sample(self, n: int, options: Options) -> list[str]:
        self._work([""])
        return [f"sample {options.seed} {k}" for k in range(n)]

    def interpolate(
        self, a: str, b: str, steps: int, *, spherical: bool, options: Options
    ) -> list[str]:
        self._work([a, b])
        return [f"{a}-{b}-{k}" for k in range(steps)]

    def score(self, texts: Sequence[str], samples: int, seed: int) -> list[Score]:
        self._work(texts)
        return [Score(t, -1.0, float(len(t)), 0.5, float(samples), [Piece(t, 1.5)]) for t in texts]

    def stream(self, row: Row) -> Iterator[str]:
        self._work([row.text])
        for letter in echo(row.text, row.options):
            if self.seconds:
                time.sleep(self.seconds)
            yield letter

    def warm_up(self) -> None:
        self.generate([Row("")])
        self.calls.clear()

    def check_golden(self) -> None:
        self.checked = True

    def close(self) -> None:
        self.closed = True


def ready_service(engine: StubEngine | None = None, limits: Limits | None = None) -> Service:
    """A service that is loaded; its batcher is not started."""
    service = Service(limits or Limits())
    service.model, service.state = Model(engine or StubEngine(), FACTS), State.READY
    return service


@dataclass
class Live:
    """A running server."""

    server: Server
    service: Service
    engine: StubEngine
    loop: asyncio.AbstractEventLoop

    @property
    def address(self) -> str:
        return self.server.url.partition("//")[2]

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    def stop(self) -> None:
        """As SIGTERM does."""
        self.loop.call_soon_threadsafe(self.server.stop)


@contextlib.contextmanager
def live(
    engine: StubEngine | None = None,
    limits: Limits | None = None,
    *,
    listen: Listen | None = None,
    keys: Sequence[str] = (),
    wait: bool = True,
    model: Model | None = None,
) -> Iterator[Live]:
    """A server on a free port of this machine, in a thread.

    Args:
        engine: that is served.
        limits: of the server.
        listen: where, and how it ends.
        keys: that open it.
        wait: until it is ready.
        model: served instead of the stub.
    """
    engine = engine or StubEngine()
    served = model or Model(engine, FACTS)
    service = Service(limits or Limits())
    loop = asyncio.new_event_loop()
    server = Server(
        build(service, keys=keys),
        service,
        listen or Listen(port=0, drain_seconds=2),
        lambda: served,
    )
    failures: list[Exception] = []

    def run() -> None:
        try:
            loop.run_until_complete(server.serve())
        except Exception as error:  # noqa: BLE001 (raised in the test's thread)
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        until(lambda: not wait or failures or service.state is State.READY, 30)
        if failures:
            raise failures[0]
        yield Live(server, service, engine, loop)
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended already
            loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        assert not thread.is_alive(), "the server does not end"
        loop.close()


def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for a condition, a callable."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)
