"""Serve a bundle with Ray Serve: replicas, autoscaling and batching by a cluster.

    python examples/ray_serve.py BUNDLE

Needs `pip install "ray[serve]"`. Requests of different clients, with different options, are written
in one run of the model, and each gets the answer that it would get alone. Elsewhere in the cluster,
`serve run examples.ray_serve:application bundle=BUNDLE` starts the same.
"""

import asyncio
import sys
from dataclasses import asdict

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from seqvae.errors import UserError
from seqvae.serving.engine import Engine
from seqvae.serving.options import Options, Row
from seqvae.serving.results import Written


@serve.deployment(max_ongoing_requests=64, max_queued_requests=256)
class Paraphraser:
    """One replica: a process with the model."""

    def __init__(self, bundle: str) -> None:
        """Open the bundle and run it once, so that the first request is as fast as any."""
        self.engine = Engine(bundle)
        self.engine.warm_up()

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def write(self, rows: list[Row]) -> list[Written]:
        """What is written for each row."""
        return await asyncio.to_thread(self.engine.generate, rows)

    async def __call__(self, request: Request) -> JSONResponse:
        """Answer POST {"text": ..., "seed": 7, "temperature": 0.7, ...}."""
        try:
            body = await request.json()
            row = Row(body.pop("text"), Options(**body))
        except (UserError, AttributeError, KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)
        return JSONResponse(asdict(await self.write(row)))


def application(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` builds from `bundle=BUNDLE`."""
    return Paraphraser.bind(arguments["bundle"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    serve.run(application({"bundle": sys.argv[1]}), blocking=True)
