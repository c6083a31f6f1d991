"""What every request passes first: a number, the key, and at the end a line in the log."""

import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Literal, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqvae.serving.exchange import CLIENT_LEFT, as_refusal, refusal
from seqvae.serving.refusal import Refusal
from seqvae.serving.service import Service

log = logging.getLogger("seqvae.serving")
LogFormat = Literal["json", "common", "off"]
_OPEN = re.compile(r"/v2/health/(live|ready)|/|/page/[^/]*")
_QUIET = ("/v2/health/live", "/v2/health/ready", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class Keys:
    """The keys that open a server; none: it is open."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # Digests have one length, so that comparing tells nothing of a key's.
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request brings one, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."""
        given = []
        for name, value in headers:
            if name == b"x-api-key":
                given.append(value.strip())
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                given.append(value[7:].strip())
        found = False
        for key in given[:4]:
            digest = hashlib.sha256(key).digest()
            for known in self._digests:
                found |= hmac.compare_digest(digest, known)
        return found


class Front:
    """An ASGI application around another."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        keys: Keys,
        log_format: LogFormat = "off",
        log_to: TextIO | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: what answers.
            service: whose metrics count the answers.
            keys: without one of them only health and the page's files are given out.
            log_format: of the access log: one JSON object a line, the common format, or none.
                Successful health checks and scrapes are left out; bodies never are in it.
            log_to: where its lines go.
        """
        self._app, self._service, self._keys = app, service, keys
        self._format, self._log_to = log_format, log_to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = scope["headers"]
        request_id = _request_id(headers)
        scope["seqvae.request"] = request_id
        status, size = 0, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), own, *_SECURITY]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            if self._keys and not _OPEN.fullmatch(scope["path"]) and not self._keys.fit(headers):
                raise Refusal(
                    401,
                    "a key is needed: send the header 'Authorization: Bearer KEY'",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            await self._app(scope, receive, counted)
        except Exception as error:
            if status:  # too late for another answer: the server closes the connection
                raise
            await refusal(as_refusal(error))(scope, receive, counted)
        finally:
            self._account(scope, status or CLIENT_LEFT, size, time.perf_counter() - began)

    def _account(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        # Never the path itself: a label for each address tried would grow without bound.
        route = scope.get("seqvae.route", "other")
        self._service.metrics.answered(route, status, seconds)
        quiet = scope["path"] in _QUIET and status == 200
        if self._log_to is None or self._format == "off" or quiet:
            return
        # As it came on the wire: ASCII without control characters. Queries may hold secrets.
        path = scope.get("raw_path", b"").decode("ascii", "backslashreplace").partition("?")[0]
        client = (scope.get("client") or ("-", 0))[0]
        if self._format == "json":
            line = json.dumps(
                {
                    "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "client": client,
                    "method": scope["method"],
                    "path": path[:200],
                    "status": status,
                    "bytes": size,
                    "seconds": round(seconds, 6),
                    "request": scope["seqvae.request"],
                }
            )
        else:
            when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
            version = scope.get("http_version", "1.1")
            line = f'{client} - - [{when}] "{scope["method"]} {path[:200]} HTTP/{version}" '
            line += f"{status} {size} {seconds:.6f} {scope['seqvae.request']}"
        try:
            print(line, file=self._log_to, flush=True)
        except OSError:
            # Who read the log has gone, or the disk is full: serving goes on.
            self._format = "off"
            log.warning("the access log cannot be written any more")


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The client's own X-Request-Id where it is harmless, else a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(given):
                return given
    return uuid.uuid4().hex[:16]
