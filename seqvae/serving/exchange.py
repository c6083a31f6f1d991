"""One request and its answer: read the body within its limits, notice a client that leaves."""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NoReturn, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from seqvae.errors import UserError
from seqvae.serving.limits import Limits, decompressed, read_json
from seqvae.serving.refusal import Refusal, refuse
from seqvae.serving.service import Service

log = logging.getLogger("seqvae.serving")
CLIENT_LEFT = 499
"""Status in the log for a client that did not wait for its answer (nginx's number)."""
_LINGER_SECONDS = 1.0
_SMALL = 1 << 20

T = TypeVar("T")
Handler = Callable[[Service, Request], Awaitable[Response]]


class Left(Exception):
    """The client has closed the connection."""


def service_of(request: Request) -> Service:
    """The service that the application was built around."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


def route(path: str, handler: Handler, *, method: str = "GET") -> Route:
    """A route whose handler gets the service too, and whose pattern labels the metrics."""

    async def endpoint(request: Request) -> Response:
        request.scope["seqvae.route"] = path
        service = service_of(request)
        try:
            return await handler(service, request)
        except (Left, ClientDisconnect):
            return Response(status_code=CLIENT_LEFT)
        except Exception as error:  # noqa: BLE001 (every request is answered)
            return refusal(as_refusal(error))

    return Route(path, endpoint, methods=[method])


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; numbers that JSON has no form for become null."""
    try:
        content = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        content = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode(), status, headers, media_type="application/json")


def _finite(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def refusal(error: Refusal) -> Response:
    """What a client gets for a `Refusal`."""
    return answer({"error": error.message}, error.status, error.headers)


def as_refusal(error: Exception) -> Refusal:
    """What to tell a client of any exception: mistakes in words, faults without details."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, UserError):
        return Refusal(400, str(error))
    log.error("a request failed", exc_info=error)
    return Refusal(500, "internal error; the server's log has the details", reason="BACKEND")


async def read_body(service: Service, request: Request) -> bytes:
    """The whole body, decompressed.

    Raises:
        Refusal: 408 too slow; 413 too large; 503 too much with what others send; 400 or 415 a
            content encoding.
        ClientDisconnect: the client left before its end.
    """
    limits = service.limits
    announced = int(request.headers.get("content-length", "0"))  # the HTTP parser takes digits only
    if announced > limits.max_body:
        await _linger(request, announced, limits)
    content = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                content += chunk
                service.receiving += len(chunk)
                if len(content) > limits.max_body:
                    _too_large(limits)
                if service.receiving > limits.max_bodies_mb * 2**20:
                    raise Refusal(
                        503,
                        "too many large requests at once",
                        headers={"Retry-After": "1", "Connection": "close"},
                        reason="REJECTED",
                    )
    except TimeoutError:
        raise Refusal(
            408,
            f"the body did not come within {limits.body_seconds:g} s",
            headers={"Connection": "close"},
        ) from None
    finally:
        service.receiving -= len(content)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return bytes(content)
    if len(content) < _SMALL:
        return decompressed(content, encoding, limits)
    return await asyncio.to_thread(decompressed, content, encoding, limits)


async def _linger(request: Request, announced: int, limits: Limits) -> NoReturn:
    """Read on for a moment: who is still sending when the connection closes never sees why."""
    if announced <= 4 * limits.max_body:
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                async for _ in request.stream():
                    pass
        except TimeoutError:
            pass
    _too_large(limits)


def _too_large(limits: Limits) -> NoReturn:
    raise Refusal(
        413,
        f"the request has more than {limits.max_body:,} bytes",
        headers={"Connection": "close"},
    )


async def read_object(service: Service, request: Request) -> dict[str, Any]:
    """The JSON object that is the body.

    Raises:
        Refusal: see `read_body` and `read_json`.
    """
    content = await read_body(service, request)
    if not content:
        refuse("the request has no body; send a JSON object")
    return read_json(content, service.limits)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves.

    Raises:
        Left: it did.
    """
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Left
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
