"""A server's life: listen, load, check, serve; on SIGTERM say not ready, finish what runs, end.

The socket listens first, so that `/v2/health/live` answers while a large model is loaded. Ready it is
after the engine is open, has run once and has reproduced the bundle's golden outputs.
"""

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from seqvae.serving.limits import Limits
from seqvae.serving.listen import Listen
from seqvae.serving.service import Model, Service, State

log = logging.getLogger("seqvae.serving")
_POLL_SECONDS = 0.05


class Server:
    """An HTTP server around an application, and the life of the service in it."""

    def __init__(
        self, app: ASGIApp, service: Service, listen: Listen, load: Callable[[], Model]
    ) -> None:
        """Bind the address.

        Args:
            app: of `seqvae.serving.http.build`.
            service: that it is built around.
            listen: where.
            load: gives the model, ready for requests; runs in a thread.

        Raises:
            UserError: the address or the certificate cannot be used.
        """
        listen.check_tls()
        self._service, self._listen, self._load = service, listen, load
        self._socket = listen.bind()
        limits = service.limits
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=_bounded(limits),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=limits.keep_alive_seconds,
                limit_concurrency=limits.max_connections,
                h11_max_incomplete_event_size=limits.max_header_kb * 1024,
                timeout_graceful_shutdown=1,
                ssl_certfile=listen.tls_cert,
                ssl_keyfile=listen.tls_key,
            )
        )
        self._failure: Exception | None = None
        self._stop = asyncio.Event()
        self.abandoned = False
        """Whether requests still ran when the time to end was over."""

    @property
    def url(self) -> str:
        """Where it is reached."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"http{'s' if self._listen.tls_cert else ''}://{shown}:{port}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends at once.

        Raises:
            UserError: the bundle cannot be served.
        """
        asyncio.run(self.serve())

    def stop(self) -> None:
        """Begin to end; called on the event loop, a second time to end at once."""
        if self._stop.is_set():
            self._uvicorn.force_exit = True
        self._stop.set()

    async def serve(self) -> None:
        """See `run`."""
        self._service.batcher.start()
        threading.Thread(
            target=self._prepare, args=(asyncio.get_running_loop(),), daemon=True
        ).start()
        with self._signals():
            ending = asyncio.create_task(self._end())
            try:
                await self._uvicorn.serve(sockets=[self._socket])
            finally:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
                await self._service.batcher.close()
        if self._service.model is not None and not self.abandoned:
            self._service.model.engine.close()
        if self._failure is not None:
            raise self._failure

    @property
    def _busy(self) -> bool:
        return self._service.busy

    def _prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: load and check the model."""
        began = time.monotonic()
        outcome: Model | Exception
        try:
            outcome = self._load()
            outcome.engine.warm_up()
            outcome.engine.check_golden()
        except Exception as error:  # noqa: BLE001 (told on the main thread)
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._prepared, outcome, time.monotonic() - began)

    def _prepared(self, outcome: Model | Exception, seconds: float) -> None:
        if isinstance(outcome, Exception):
            self._failure = outcome
            self._uvicorn.should_exit = True
            return
        self._service.model = outcome
        if self._service.state is State.STARTING:
            self._service.state = State.READY
            facts = outcome.facts
            log.info(
                "ready after %.1f s: %s (%s on %s) at %s",
                *(seconds, facts.name, facts.variant, facts.provider, self.url),
            )

    async def _end(self) -> None:
        """When asked to stop: let what runs come to its end, then stop the HTTP server."""
        await self._stop.wait()
        log.info("stopping: not ready any more, finishing what runs")
        if self._service.state is State.READY:
            self._service.state = State.LEAVING
            notice = time.monotonic() + self._listen.notice_seconds
            while time.monotonic() < notice and not self._uvicorn.force_exit:
                await asyncio.sleep(_POLL_SECONDS)
        self._service.state = State.DRAINING
        deadline = time.monotonic() + self._listen.drain_seconds
        while self._busy and time.monotonic() < deadline and not self._uvicorn.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        if self._busy:
            self.abandoned = True
            log.warning("requests still run after %g s: they end here", self._listen.drain_seconds)
            await self._service.batcher.close()
        self._uvicorn.should_exit = True

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        both = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.getsignal(number) for number in both}
        for number in both:
            # Not loop.add_signal_handler: Windows' event loop has none.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.stop))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without its signal handlers, which would end the process by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _bounded(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with a time limit on what is not a request yet.

    uvicorn itself waits for ever for the head of a first request, and for the rest of a body that
    was answered before it was read.
    """

    class Bounded(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            if self.cycle is not None and not self.cycle.response_complete:
                self._unwatch()
            elif self._timer is None and self._is_amid():
                self._watch()

        def on_response_complete(self) -> None:
            self._unwatch()
            super().on_response_complete()

        def _is_amid(self) -> bool:
            """Whether something has begun: part of a head, or a body that nobody waits for."""
            return bool(self.conn.trailing_data[0]) or self.conn.their_state is not h11.IDLE

        def _watch(self) -> None:
            self._timer = self.loop.call_later(limits.header_seconds, self._give_up)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
