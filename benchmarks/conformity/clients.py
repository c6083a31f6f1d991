"""The unmodified tritonclient, synchronous and asyncio, against two servers."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.serving.triton_requests import MAX_BATCH

Outcome = Any


def compare(ours: int, theirs: int) -> dict[str, bool]:
    """For each call, whether both ports gave the client the same.

    Args:
        ours: port of our server.
        theirs: port of Triton.
    """
    found: dict[str, bool] = {}
    for name, run in (("sync", _run_sync), ("aio", lambda port: asyncio.run(_run_aio(port)))):
        mine, other = run(ours), run(theirs)
        assert mine.keys() == other.keys()
        found |= {f"{name}: {call}": mine[call] == other[call] for call in mine}
    return found


def _inputs(http: Any, texts: list[str], seeds: list[int], binary: bool) -> list[Any]:  # noqa: ANN401
    words = http.InferInput("text", [len(texts), 1], "BYTES")
    words.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1), binary_data=binary)
    numbers = http.InferInput("seed", [len(seeds), 1], "INT64")
    numbers.set_data_from_numpy(np.array(seeds).reshape(-1, 1), binary_data=binary)
    return [words, numbers]


def _calls(http: Any) -> dict[str, Callable[[Any], Any]]:  # noqa: ANN401
    """Name -> what is called on a client; the asynchronous one returns something to await."""

    def infer(
        texts: list[str], *, binary: bool = True, model: str = "model", **more: object
    ) -> Callable[[Any], Any]:
        seeds = list(range(len(texts)))
        return lambda client: client.infer(model, _inputs(http, texts, seeds, binary), **more)

    wanted = [http.InferRequestedOutput("text", binary_data=flag) for flag in (True, False)]
    unknown = http.InferRequestedOutput("zz")
    misshapen = http.InferInput("text", [1], "BYTES")
    misshapen.set_data_from_numpy(np.array(["a"], dtype=object))
    mistyped = http.InferInput("text", [1, 1], "INT64")
    mistyped.set_data_from_numpy(np.array([[1]]))
    return {
        "live": lambda client: client.is_server_live(),
        "ready": lambda client: client.is_server_ready(),
        "model ready": lambda client: client.is_model_ready("model"),
        "model ready, version": lambda client: client.is_model_ready("model", "1"),
        "unknown model ready": lambda client: client.is_model_ready("nope"),
        "unknown model": lambda client: client.get_model_metadata("nope"),
        "statistics of an unknown model": lambda client: client.get_inference_statistics("nope"),
        "infer, binary": infer(["héllo", "", "日本語 🙂"]),
        "infer, JSON": infer(["héllo", "", "日本語 🙂"], binary=False),
        "infer, id": infer(["a"], request_id="x7"),
        "infer, version": infer(["a"], model_version="1"),
        "infer, one output binary": infer(["a"], outputs=wanted[:1]),
        "infer, one output JSON": infer(["a"], outputs=wanted[1:]),
        "infer, parameters": infer(["a"], parameters={"x": 1, "y": "z"}),
        "infer, priority and timeout": infer(["a"], priority=1, timeout=10_000_000),
        "infer, gzip": infer(["a"], request_compression_algorithm="gzip"),
        "infer, deflate": infer(["a"], request_compression_algorithm="deflate"),
        "infer, answer as gzip": infer(["a" * 200], response_compression_algorithm="gzip"),
        "infer, a full batch": infer(["a"] * MAX_BATCH),
        "infer, a batch too large": infer(["a"] * (MAX_BATCH + 1)),
        "infer, unknown model": infer(["a"], model="nope"),
        "infer, unknown version": infer(["a"], model_version="7"),
        "infer, unknown output": infer(["a"], outputs=[unknown]),
        "infer, wrong shape": lambda client: client.infer("model", [misshapen]),
        "infer, wrong type": lambda client: client.infer("model", [mistyped]),
    }


def _seen(http: Any, result: object) -> Outcome:  # noqa: ANN401
    """What a program gets from a call."""
    if not isinstance(result, http.InferResult):
        return result
    found: dict[str, Any] = {}
    for output in result.get_response()["outputs"]:
        array = result.as_numpy(output["name"])
        found[output["name"]] = (str(array.dtype), array.shape, array.tolist())
    response = {k: v for k, v in result.get_response().items() if k != "outputs"}
    return response, found


def _failed(error: Any) -> Outcome:  # noqa: ANN401
    """The status decides what a program does; the words are for people."""
    return type(error).__name__, error.status(), bool(error.message())


def _run_sync(port: int) -> dict[str, Outcome]:
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    found: dict[str, Outcome] = {}
    with http.InferenceServerClient(f"127.0.0.1:{port}") as client:
        for name, call in _calls(http).items():
            try:
                found[name] = _seen(http, call(client))
            except InferenceServerException as error:
                found[name] = _failed(error)
    return found


async def _run_aio(port: int) -> dict[str, Outcome]:
    from tritonclient.http import aio as http
    from tritonclient.utils import InferenceServerException

    found: dict[str, Outcome] = {}
    async with http.InferenceServerClient(f"127.0.0.1:{port}") as client:
        for name, call in _calls(http).items():
            try:
                found[name] = _seen(http, await call(client))
            except InferenceServerException as error:
                found[name] = _failed(error)
    return found
