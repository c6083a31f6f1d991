"""The application: every address, behind the front that counts, logs and asks for the key."""

from collections.abc import Sequence
from importlib import resources
from typing import TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from seqvae.serving import generate, v1, v1_sound, v2
from seqvae.serving.exchange import answer, route
from seqvae.serving.front import Front, Keys, LogFormat
from seqvae.serving.metrics import CONTENT_TYPE
from seqvae.serving.openapi import document
from seqvae.serving.refusal import Refusal
from seqvae.serving.service import Service, State

# What the page's own files may do: nothing beyond this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


def build(
    service: Service,
    *,
    keys: Sequence[str] = (),
    log_format: LogFormat = "off",
    log_to: TextIO | None = None,
) -> ASGIApp:
    """The ASGI application around a service; `service.batcher` must be started beside it.

    Args:
        service: what answers.
        keys: see `Front`.
        log_format: see `Front`.
        log_to: see `Front`.
    """
    app = Starlette(
        routes=[
            *v2.routes(),
            *generate.routes(),
            *v1.routes(),
            *v1_sound.routes(),
            route("/metrics", _metrics),
            route("/openapi.json", _openapi),
            route("/", _page),
            route("/page/{name}", _page),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    # Triton knows no /v2/ either; a redirect would lose the body of a POST.
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.page = _page_files()
    return Front(app, service, Keys(keys), log_format, log_to)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer({"error": error.detail}, error.status_code, error.headers)


async def _metrics(service: Service, request: Request) -> Response:
    gauges = {
        "seqvae_ready": ("Whether requests are served", service.state is State.READY),
        "seqvae_queue_rows": ("Rows that wait", service.batcher.queued_rows),
        "seqvae_running_rows": ("Rows being computed", service.batcher.running_rows),
        "seqvae_streams": ("Texts being streamed", service.streaming),
        "seqvae_sounds": ("Sounds being converted", service.converting),
    }
    return Response(service.metrics.text(gauges), media_type=CONTENT_TYPE)


async def _openapi(service: Service, request: Request) -> Response:
    return answer(document(service.limits))


async def _page(service: Service, request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    files: dict[str, tuple[bytes, str]] = request.app.state.page
    if name not in files:
        raise Refusal(404, "Not Found")
    content, media_type = files[name]
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return Response(content, headers=headers, media_type=media_type)


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Name -> content and type of the page's files, read once: no request names a path."""
    folder = resources.files("seqvae.serving") / "page"
    if not folder.is_dir():
        return {}
    found = {}
    for file in folder.iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _TYPES and file.is_file():
            found[file.name] = (file.read_bytes(), _TYPES[suffix])
    return found
