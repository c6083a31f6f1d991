"""Triton's generate extension: one text in, one text out, whole or as server-sent events.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md
A request names tensors of `model` by their names, at the top level or in `parameters`; `text_input`
stands for `text`, and then the answer says `text_output`.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from seqvae.serving.exchange import answer, as_refusal, read_object, route, unless_gone
from seqvae.serving.fields import Field, check_length, option_fields, read_fields, read_options
from seqvae.serving.limits import Limits
from seqvae.serving.metrics import VERSION
from seqvae.serving.options import Options, Row
from seqvae.serving.refusal import Refusal, refuse, shown
from seqvae.serving.service import Service, TextEngine
from seqvae.serving.v2 import count_tokens, find, read_id, read_parameters, timeout_of


def routes() -> list[BaseRoute]:
    """Addresses of the extension."""
    found: list[BaseRoute] = []
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found.append(route(f"{model}/generate", _generate, method="POST"))
        found.append(route(f"{model}/generate_stream", _generate_stream, method="POST"))
    return found


def fields(limits: Limits) -> tuple[Field, ...]:
    """What a request says beside `id` and `parameters`."""
    return (
        Field("text", "string", "What is said; `text_input` is another name of it.", None),
        *option_fields(Options()),
    )


@dataclass(frozen=True)
class _Asked:
    """A request: what to write, and how the answer is to look."""

    row: Row
    head: dict[str, Any]
    output: str
    timeout: float | None


async def _read(service: Service, request: Request) -> _Asked:
    model = find(service, request)
    service.loaded().text()
    if model.name != "model":
        refuse(f"model '{model.name}' does not generate; the one that does is 'model'")
    body = await read_object(service, request)
    head = {"id": read_id(body)} if "id" in body else {}
    body.pop("id", None)
    parameters = dict(read_parameters(body.pop("parameters", {})))
    timeout = timeout_of(parameters)
    parameters.pop("timeout", None)
    twice = sorted(parameters.keys() & body.keys())
    if twice:
        refuse(f"{shown(twice[0])} stands both in the request and in its parameters")
    body |= parameters
    output = "text"
    if "text_input" in body:
        if "text" in body:
            refuse("'text' and 'text_input' are the same; name one")
        output, body["text"] = "text_output", body.pop("text_input")
    values = read_fields(body, fields(service.limits))
    check_length("text", values["text"], service.limits.max_text)
    head |= {"model_name": model.name, "model_version": VERSION}
    return _Asked(Row(values["text"], read_options(values)), head, output, timeout)


async def _generate(service: Service, request: Request) -> Response:
    service.check_room("model")
    asked = await _read(service, request)
    (written,) = await unless_gone(request, service.run(("model",), [asked.row], 1, asked.timeout))
    count_tokens(service, [written])
    return answer(
        {
            **asked.head,
            asked.output: written.text,
            "ids": written.ids,
            "log_prob": written.log_prob,
            "complete": written.complete,
        }
    )


async def _generate_stream(service: Service, request: Request) -> Response:
    asked = await _read(service, request)
    engine = service.loaded().text()
    if service.streaming >= service.limits.max_streams:
        raise Refusal(
            service.limits.overload_status,
            f"{service.streaming} texts are being streamed, as many as there may be",
            headers={"Retry-After": "1"},
            reason="REJECTED",
        )
    seconds = min(service.limits.timeout, asked.timeout or service.limits.timeout)
    stream = _Stream(service, engine, asked.row, seconds)
    stream.start()
    try:
        # The first part decides the status: an error before it is an answer of its own.
        first = await unless_gone(request, stream.part())
    except BaseException as error:
        stream.close("BACKEND" if isinstance(error, Exception) else "CANCELED")
        raise

    async def events() -> AsyncIterator[bytes]:
        part, reason = first, ""
        while part is not None:
            yield _event({**asked.head, asked.output: part})
            try:
                part = await stream.part()
            except Exception as error:  # noqa: BLE001 (the status is sent: tell in the stream)
                part, reason = None, "BACKEND"
                yield _event({"error": as_refusal(error).message})
        stream.close(reason)

    return _Events(stream, events())


class _Events(StreamingResponse):
    """Server-sent events; the stream is closed however the answer ends, even before it begins."""

    def __init__(self, stream: "_Stream", events: AsyncIterator[bytes]) -> None:
        # nginx collects an answer before it passes it on, unless told not to.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream; charset=utf-8")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close("CANCELED")


def _event(value: dict[str, Any]) -> bytes:
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"data: {content}\n\n".encode()


class _Stream:
    """An iterator of the engine, run in a thread until it ends or nobody listens."""

    def __init__(self, service: Service, engine: TextEngine, row: Row, seconds: float) -> None:
        self._service, self._engine, self._row = service, engine, row
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._deadline = self._began + seconds
        self._parts: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self._left = threading.Event()

    def start(self) -> None:
        """Begin to write."""
        self._service.streaming += 1
        threading.Thread(target=self._work, name="seqvae-stream", daemon=True).start()

    async def part(self) -> str | None:
        """The next part; None at the end.

        Raises:
            Refusal: 504 too late.
            Exception: what the engine raised.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                found = await self._parts.get()
        except TimeoutError:
            raise Refusal(504, "the text was not written in time", reason="CANCELED") from None
        if isinstance(found, Exception):
            raise found
        return found

    def close(self, reason: str) -> None:
        """Stop at the next part, and count; further calls do nothing.

        Args:
            reason: of the failure, as in the metrics; empty: it came to its end.
        """
        if self._left.is_set():
            return
        self._left.set()
        self._service.streaming -= 1
        if reason:
            self._service.metrics.failed("model", reason)
        else:
            self._service.metrics.succeeded("model", self._loop.time() - self._began)

    def _work(self) -> None:
        parts: Iterator[str] = iter(())
        try:
            parts = self._engine.stream(self._row)
            for part in parts:
                if self._left.is_set():
                    return
                self._put(part)
            self._put(None)
        except Exception as error:  # noqa: BLE001 (it is the answer)
            self._put(error)
        finally:
            # A generator gives back what it holds when it is closed, not when it is forgotten.
            if close := getattr(parts, "close", None):
                close()

    def _put(self, part: str | Exception | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._parts.put_nowait, part)
