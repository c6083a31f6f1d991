"""Sound over the Open Inference Protocol: the graph's tensors, as JSON and as bytes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.serving.client import INFER, ask, framed, tensor
from tests.serving.stub import Live
from tests.serving.stub_sound import RATE, SETTINGS, live_sound


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live_sound() as running:
        yield running


def audio(values: np.ndarray) -> dict[str, Any]:
    return {
        "name": "audio",
        "datatype": "FP32",
        "shape": list(values.shape),
        "data": values.ravel().tolist(),
    }


SOUND = np.linspace(-0.5, 0.5, 2 * 4 * SETTINGS.hop, dtype=np.float32).reshape(2, -1)


def test_the_tensors_are_those_of_the_graph(server: Live) -> None:
    found = ask(server.port, "/v2/models/model").json
    assert found["inputs"][0] == {"name": "audio", "datatype": "FP32", "shape": [-1, -1]}
    assert [one["shape"] for one in found["outputs"]] == [[-1, -1], [-1, -1, 80], [-1, 3]]
    config = ask(server.port, "/v2/models/model/config").json
    assert config["output"][1]["dims"] == [-1, 80]
    assert config["input"][1]["optional"] and not config["input"][0]["optional"]
    assert ask(server.port, "/v2/models/encoder").status == 404
    assert ask(server.port, "/v2/models/model/ready").status == 200
    index = ask(server.port, "/v2/repository/index", b"").json
    assert index == [{"name": "model", "version": "1", "state": "READY"}]


def test_rows_have_options_of_their_own(server: Live) -> None:
    body = {"inputs": [audio(SOUND), tensor("speaker", "INT64", [0, 1])]}
    answer = ask(server.port, INFER, body)
    assert answer.status == 200, answer.body
    outputs = {one["name"]: one for one in answer.json["outputs"]}
    found = np.array(outputs["converted"]["data"]).reshape(outputs["converted"]["shape"])
    np.testing.assert_allclose(found, SOUND * [[1], [-1]], atol=1e-6)
    assert outputs["frames"]["shape"] == [2, 4, 80]
    assert outputs["condition"]["data"] == [1, 0, 5, -1, 0, 4]
    stats = ask(server.port, "/v2/models/model/stats").json["model_stats"][0]
    assert stats["inference_count"] == 2


def test_bytes_in_bytes_out(server: Live) -> None:
    content = SOUND.astype("<f4").tobytes()
    head = {
        "inputs": [
            {
                "name": "audio",
                "datatype": "FP32",
                "shape": list(SOUND.shape),
                "parameters": {"binary_data_size": len(content)},
            }
        ],
        "outputs": [{"name": "converted", "parameters": {"binary_data": True}}],
    }
    body, headers = framed(head, content)
    answer = ask(server.port, INFER, body, headers=headers)
    length = int(answer.headers["inference-header-content-length"])
    np.testing.assert_array_equal(np.frombuffer(answer.body[length:], "<f4"), SOUND.ravel())


@pytest.mark.parametrize(
    ("inputs", "status", "message"),
    [
        ([], 400, "missing required"),
        ([audio(np.zeros((1, 0)))], 400, "no samples"),
        (
            [audio(np.zeros((1, 4))), tensor("speaker", "INT64", [2])],
            400,
            "'speaker' must be 0 to 1",
        ),
        ([audio(np.zeros((1, 4))), tensor("strength", "FP32", [1e30])], 400, "must be 0 to 4"),
        ([audio(np.zeros((1, 4))), tensor("gain", "FP32", [-1])], 400, "must be 0 to"),
        ([audio(np.zeros((1, 4))), tensor("text", "BYTES", ["a"])], 400, "unexpected"),
        ([audio(np.full((1, 4), 1e300))], 400, "NaN or infinity"),
    ],
)
def test_refusals(server: Live, inputs: list[dict[str, Any]], status: int, message: str) -> None:
    answer = ask(server.port, INFER, {"inputs": inputs})
    assert answer.status == status and message in answer.error, answer.body


def test_a_sound_too_long_for_one_call_is_sent_elsewhere(server: Live) -> None:
    content = bytes(4 * 61 * RATE)
    shape = [1, 61 * RATE]
    one: dict[str, Any] = {"name": "audio", "datatype": "FP32", "shape": shape}
    one["parameters"] = {"binary_data_size": len(content)}
    body, headers = framed({"inputs": [one]}, content)
    answer = ask(server.port, INFER, body, headers=headers)
    assert answer.status == 413 and "/v1/convert" in answer.error
