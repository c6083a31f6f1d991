"""The unmodified client of Triton Inference Server, waiting and not."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from seqvae.serving.limits import Limits
from tests.serving.stub import Live, StubEngine, live

http = pytest.importorskip("tritonclient.http")
aio = pytest.importorskip("tritonclient.http.aio")
utils = pytest.importorskip("tritonclient.utils")


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(StubEngine(seconds=0.002), Limits(max_batch=8)) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[Any]:
    with http.InferenceServerClient(server.address) as made:
        yield made


def inputs(texts: list[str], seeds: list[int], *, binary: bool = True) -> list[Any]:
    words = http.InferInput("text", [len(texts), 1], "BYTES")
    words.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1), binary_data=binary)
    numbers = http.InferInput("seed", [len(seeds), 1], "INT64")
    numbers.set_data_from_numpy(np.array(seeds).reshape(-1, 1), binary_data=binary)
    return [words, numbers]


def test_everything_it_asks_of_a_server(client: Any) -> None:  # noqa: ANN401
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("model") and client.is_model_ready("model", "1")
    assert not client.is_model_ready("nope")
    assert client.get_server_metadata()["name"] == "seqvae"
    assert client.get_model_metadata("model")["inputs"][0]["name"] == "text"
    assert client.get_model_config("model", "1")["max_batch_size"] == 8
    assert client.get_model_repository_index()[0]["state"] == "READY"
    assert client.get_inference_statistics()["model_stats"]
    assert client.get_inference_statistics("model")["model_stats"][0]["name"] == "model"


@pytest.mark.parametrize("binary", [True, False])
def test_inference(client: Any, binary: bool) -> None:  # noqa: ANN401
    wanted = [http.InferRequestedOutput(n, binary_data=binary) for n in ("text", "log_prob")]
    result = client.infer(
        "model", inputs(["héllo", ""], [1, 2], binary=binary), outputs=wanted, request_id="7"
    )
    assert result.get_response()["id"] == "7"
    texts = [t.decode() if binary else t for t in result.as_numpy("text")[:, 0]]
    assert texts == ["héllo|1|0|False", "|2|0|False"]
    assert result.as_numpy("log_prob").tolist() == [[-5.0], [0.0]]
    assert result.as_numpy("ids") is None


def test_all_outputs_are_binary_by_default(client: Any) -> None:  # noqa: ANN401
    result = client.infer("model", inputs(["abc"], [1]))
    assert result.as_numpy("ids").tolist() == [[5, 5, 5]]
    assert result.as_numpy("complete").tolist() == [[True]]
    empty = client.infer("model", inputs([""], [1]))
    assert empty.as_numpy("ids").shape == (1, 0)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compression(client: Any, compression: str) -> None:  # noqa: ANN401
    result = client.infer(
        "model",
        inputs(["abc"], [1]),
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.as_numpy("text")[0, 0] == b"abc|1|0|False"


def test_its_exception_has_our_words(client: Any) -> None:  # noqa: ANN401
    with pytest.raises(utils.InferenceServerException, match="unknown model: 'nope'") as caught:
        client.infer("nope", inputs(["a"], [1]))
    assert caught.value.status() == "404"
    with pytest.raises(utils.InferenceServerException, match="batch-size must be <= 8"):
        client.infer("model", inputs(["a"] * 9, [1] * 9))
    with pytest.raises(utils.InferenceServerException, match=r"no answer within 1e-06 s"):
        client.infer("model", inputs(["a"], [1]), timeout=1)


def test_parameters(client: Any) -> None:  # noqa: ANN401
    (words, _) = inputs(["abcd"], [1])
    result = client.infer("score", [words], parameters={"samples": 5})
    assert result.as_numpy("reconstruction").tolist() == [[5.0]]


def test_many_at_once_are_batched_and_not_mixed_up(server: Live) -> None:
    server.engine.calls.clear()

    async def main() -> None:
        async with aio.InferenceServerClient(server.address) as client:

            async def one(number: int) -> None:
                result = await client.infer("model", inputs([f"text {number}"], [number]))
                assert result.as_numpy("text")[0, 0] == f"text {number}|{number}|0|False".encode()

            assert await client.is_server_ready()
            for _ in range(3):
                await asyncio.gather(*(one(number) for number in range(32)))

    asyncio.run(main())
    assert sum(server.engine.calls) == 96
    assert len(server.engine.calls) < 48
