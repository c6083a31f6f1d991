"""`seqvae serve`: a bundle behind HTTP."""

import importlib.util
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import tyro

from seqvae.errors import UserError
from seqvae.serving.limits import Limits
from seqvae.serving.listen import Listen

KEY_VARIABLE = "SEQVAE_API_KEY"
MIN_KEY = 16
"""Fewest characters of a key: shorter ones can be guessed."""

log = logging.getLogger("seqvae.serving")


def serve(argv: list[str]) -> None:
    """`seqvae serve`, its arguments parsed from `argv`."""

    def command(
        bundle: tyro.conf.Positional[Path],
        variant: str | None = None,
        provider: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int | None = None,
        verify: bool = True,
        api_key_file: Path | None = None,
        access_log: Literal["json", "common", "off"] = "json",
        listen: Annotated[Listen, tyro.conf.arg(name="")] = Listen(),  # noqa: B008
        limits: Annotated[Limits, tyro.conf.arg(name="")] = Limits(),  # noqa: B008
    ) -> None:
        """Serve a bundle over HTTP.

        A page to try it is at /, the tasks on texts as plain JSON at /v1/paraphrase, /v1/score,
        /v1/interpolate and /v1/sample, a sound in another voice at /v1/convert, the Open Inference Protocol (tritonclient, KServe) at /v2,
        the API document at /openapi.json.

        Behind a load balancer: /v2/health/live and /v2/health/ready (200, or 400 for no),
        Prometheus metrics at /metrics. SIGTERM drains and ends with status 0, or 1 when requests
        had to be given up. Requests of many clients are computed together; when too many wait,
        further ones are answered 503 with Retry-After at once.

        A key, from the environment variable SEQVAE_API_KEY or --api-key-file, is asked for
        everywhere but at health and the page: Authorization: Bearer KEY, or X-API-Key: KEY.

        Args:
            bundle: written by `seqvae export`.
            variant: of the bundle, such as cpu-int8; by default the one made for the machine.
            provider: where to compute; auto takes a GPU where there is one.
            threads: of one operator; by default one for each core.
            verify: compare the sha256 of every file first.
            api_key_file: file with keys, one a line: any of them opens, so they can be rotated.
            access_log: lines on standard output: JSON, the common log format, or none.
            listen: where, and how it ends.
            limits: what one client, and all together, may ask for.
        """
        for package in ("starlette", "uvicorn"):
            if importlib.util.find_spec(package) is None:
                raise UserError(f'serve needs {package}: pip install "seqvae[serve,cpu]"')
        from seqvae.serving.http import build
        from seqvae.serving.lifecycle import Server
        from seqvae.serving.open_model import open_model
        from seqvae.serving.service import Model, Service

        def load() -> Model:
            return open_model(
                bundle, variant=variant, provider=provider, threads=threads, verify=verify
            )

        if not bundle.is_dir():
            raise UserError(f"serve: no folder {bundle}; name one that `seqvae export` wrote")
        keys = read_keys(api_key_file, os.environ)
        _set_up_logging()
        if not (listen.is_loopback or keys):
            log.warning(
                "%s may be reached from other machines and no key is asked for: set %s or "
                "--api-key-file, or see that only those can connect who may",
                *(listen.host, KEY_VARIABLE),
            )
        service = Service(limits)
        app = build(service, keys=keys, log_format=access_log, log_to=sys.stdout)
        server = Server(app, service, listen, load)
        log.info("listening at %s, loading %s", server.url, bundle)
        server.run()
        if server.abandoned:
            # A call still runs in its thread; an interpreter that ends around it may crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    tyro.cli(command, args=argv, prog="seqvae serve")


def read_keys(path: Path | None, environment: Mapping[str, str]) -> list[str]:
    """The keys that open the server; none: everybody may ask.

    Args:
        path: a file with one key a line; empty lines and those that begin with # are left out.
        environment: of the process.

    Raises:
        UserError: the file cannot be read, holds no key, or a key is too short or not ASCII. No
            message quotes a key.
    """
    keys = []
    if given := environment.get(KEY_VARIABLE, "").strip():
        keys.append((KEY_VARIABLE, given))
    if path is not None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"serve: --api-key-file {path}: {error}") from None
        found = [
            (f"{path}, line {number}", line.strip())
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("#")
        ]
        if not found:
            # An empty file must not open the server to everybody.
            raise UserError(f"serve: --api-key-file {path} holds no key; write one a line")
        keys += found
    for where, key in keys:
        if len(key) < MIN_KEY or not (key.isascii() and key.isprintable()) or " " in key:
            raise UserError(
                f"serve: {where}: a key needs {MIN_KEY} or more ASCII characters without spaces; "
                "`openssl rand -hex 24` makes one"
            )
    return [key for _, key in keys]


def _set_up_logging() -> None:
    """What operators should know goes to standard error, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("seqvae serve: %(message)s"))
    for name, level in (("seqvae.serving", logging.INFO), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        # Errors only of uvicorn: it warns of every malformed request, and those are not ours.
        logger.setLevel(level)
        logger.handlers[:] = [handler]
        logger.propagate = False
