"""A server that answers like `seqvae serve` without a model: the page's tests say what it does."""

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import seqvae.serving

PAGE = Path(seqvae.serving.__file__).parent / "page"
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
OPTIONS = {
    "seed": {"default": 0, "low": -(2**63), "high": 2**63 - 1, "dtype": "int64"},
    "noise_scale": {"default": 1.0, "low": 0.0, "high": None, "dtype": "float32"},
    "temperature": {"default": 0.0, "low": 0.0, "high": 3.4e38, "dtype": "float32"},
    "top_k": {"default": 0, "low": 0, "high": 2**31 - 1, "dtype": "int64"},
    "top_p": {"default": 1.0, "low": 0.0, "high": 1.0, "dtype": "float32"},
}
TEXT = {
    "kind": "text",
    "name": "bible-small",
    "version": "0.1.0",
    "latent": 32,
    "options": OPTIONS,
    "labels": [],
    "beam_size": 4,
    "max_length": 64,
    "limits": {"max_batch": 32, "max_text": 8192, "max_samples": 64, "max_steps": 32},
}
SPEECH = {
    "kind": "speech",
    "name": "voices",
    "version": "0.1.0",
    "latent": 64,
    "sample_rate": 16_000,
    "recordings": True,
    "options": {
        "strength": {"default": 1.0, "low": 0.0, "high": 4.0, "dtype": "float32"},
        "noise_scale": {"default": 0.0, "low": 0.0, "high": 10.0, "dtype": "float32"},
    },
    "labels": ["anna", "ben"],
    "limits": {"max_batch": 32, "max_seconds": 20},
}
VARIANTS = (
    "And the {0} went up to the mountain, and he saw the valley.",
    "So the {0} climbed the hill and looked over the valley.",
    "The {0} went up and beheld all the land below him.",
    "Then the {0} came unto the mountain in the evening.",
    "And it came to pass that the {0} saw the valley from the mountain.",
)


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        """Say what is answered.

        Args:
            status: of HTTP.
            message: the server's words.
            **headers: of the answer; underscores stand for hyphens.
        """
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def paraphrase(body: dict[str, Any]) -> dict[str, Any]:
    """Candidates that depend on noise and seed, so that a test sees which request they answer.

    Args:
        body: of the request.
    """
    results = []
    for text in body["texts"]:
        candidates = []
        for k in range(body["n"]):
            chosen = VARIANTS[(k + body["seed"] + round(10 * body["noise_scale"])) % len(VARIANTS)]
            said = chosen.format("man" if "man" in text else "king")
            candidates.append({"text": said, "score": -0.8 - 0.23 * k, "copy": False})
        if body["noise_scale"] < 0.3:
            candidates[-1] = {"text": text, "score": -0.31, "copy": True}
        results.append({"text": text, "candidates": candidates})
    return {"results": results}


def interpolate(body: dict[str, Any]) -> dict[str, Any]:
    """The ends and, between them, variants.

    Args:
        body: of the request.
    """
    steps = body["steps"]
    between = [VARIANTS[k * len(VARIANTS) // steps].format("shepherd") for k in range(1, steps - 1)]
    return {"texts": [body["a"], *between, body["b"]]}


def score(body: dict[str, Any]) -> dict[str, Any]:
    """Surprisals that grow with the length of a word.

    Args:
        body: of the request.
    """
    scores = []
    for text in body["texts"]:
        words = text.split()
        nats = [0.05 + 0.6 * len(w) * abs(math.sin(7 * len(w) + k)) for k, w in enumerate(words)]
        pieces = [
            {"piece": piece, "surprisal": surprisal}
            for piece, surprisal in zip(
                [*(f"\u2581{word}" for word in words), "</s>"], [*nats, 0.4], strict=True
            )
        ]
        total = sum(nats) + 0.4
        one = {"text": text, "nll_iw": total + 3.1, "elbo": -total - 4.0, "kl": 4.0}
        scores.append({**one, "reconstruction": total, "pieces": pieces})
    return {"scores": scores}


def sample(body: dict[str, Any]) -> dict[str, Any]:
    """Variants that depend on the seed.

    Args:
        body: of the request.
    """
    return {
        "texts": [
            VARIANTS[(k + body["seed"]) % len(VARIANTS)].format("servant") for k in range(body["n"])
        ]
    }


@dataclass
class Behaviour:
    """What the server does; tests change it while it runs.

    Attributes:
        info: of `/v1/info`.
        routes: path -> answer to a JSON body (or to raw bytes, for `/v1/convert`).
        delay: seconds before an answer.
        key: what `Authorization` must carry; empty: nothing.
        refusals: to be raised one by one before anything is answered, by path.
        asked: (path, body) of every POST.
    """

    info: dict[str, Any] = field(default_factory=lambda: dict(TEXT))
    routes: dict[str, Callable[[Any], Any]] = field(
        default_factory=lambda: {
            "/v1/paraphrase": paraphrase,
            "/v1/interpolate": interpolate,
            "/v1/score": score,
            "/v1/sample": sample,
        }
    )
    delay: float = 0.0
    key: str = ""
    refusals: dict[str, list[Refusal]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def bodies(self, path: str) -> list[Any]:
        """The bodies of the requests to a path, in order.

        Args:
            path: e.g. ``/v1/paraphrase``.
        """
        return [body for asked, body in list(self.asked) if asked == path]


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's `Behaviour`."""

    protocol_version = "HTTP/1.1"
    server: "Stub"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing.

        Args:
            format: ignored.
            *args: ignored.
        """

    def do_GET(self) -> None:
        """The page's files and `/v1/info`."""
        name = "index.html" if self.path == "/" else self.path.removeprefix("/page/")
        known = {file.name for file in PAGE.iterdir()}
        if self.path == "/v1/info":
            self._guard(lambda: self.server.behaviour.info)
        elif name in known:
            kind = TYPES[Path(name).suffix]
            self._send(200, (PAGE / name).read_bytes(), kind, {"Content-Security-Policy": POLICY})
        else:
            self._guard(lambda: _refuse(Refusal(404, "no such path")))

    def do_POST(self) -> None:
        """The routes of the behaviour."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        raw = not self.headers["Content-Type"].startswith("application/json")
        body = data if raw else json.loads(data)
        behaviour = self.server.behaviour
        behaviour.asked.append((self.path, body))
        time.sleep(behaviour.delay)
        route = behaviour.routes.get(self.path)
        self._guard(lambda: route(body) if route else _refuse(Refusal(404, "no such path")))

    def _guard(self, answer: Callable[[], Any]) -> None:
        behaviour = self.server.behaviour
        try:
            if behaviour.key and self.headers["Authorization"] != f"Bearer {behaviour.key}":
                raise Refusal(401, "the API key is missing or wrong")
            waiting = behaviour.refusals.get(self.path)
            if waiting:
                raise waiting.pop(0)
            result = answer()
        except Refusal as refusal:
            message = json.dumps({"error": str(refusal)}).encode()
            self._send(refusal.status, message, "application/json", refusal.headers)
            return
        if isinstance(result, bytes):
            self._send(200, result, "audio/wav", {})
        else:
            self._send(200, json.dumps(result).encode(), "application/json", {})

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            # The page cancels what it no longer wants.
            self.close_connection = True


def _refuse(refusal: Refusal) -> None:
    raise refusal


class Stub(ThreadingHTTPServer):
    """The server, listening while its context is open."""

    daemon_threads = True

    def __init__(self) -> None:
        """Take a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = Behaviour()
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"

    def __enter__(self) -> Self:
        """Start to answer."""
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()
