"""The Open Inference Protocol on a real socket: what is sound is answered, all else refused."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.serving.limits import Limits
from seqvae.serving.options import RULES
from tests.serving.client import INFER, Answer, ask, binary_text, element, framed, tensor, text
from tests.serving.stub import LATENT, Live, live


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(limits=Limits(max_batch=8, max_body_mb=1, max_json_mb=0.5)) as running:
        yield running


def infer(server: Live, *inputs: dict[str, Any], **more: object) -> Answer:
    return ask(server.port, INFER, {"inputs": list(inputs), **more})


def test_metadata(server: Live) -> None:
    assert ask(server.port, "/v2").json["name"] == "seqvae"
    assert "binary_tensor_data" in ask(server.port, "/v2").json["extensions"]
    found = ask(server.port, "/v2/models/model").json
    assert found == ask(server.port, "/v2/models/model/versions/1").json
    assert found["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1, 1]}
    assert [one["name"] for one in found["inputs"]] == ["text", *RULES, "noise"]
    assert found["inputs"][-1] == {"name": "noise", "datatype": "FP32", "shape": [-1, LATENT]}
    config = ask(server.port, "/v2/models/model/config").json
    assert config["max_batch_size"] == 8
    assert [one["optional"] for one in config["input"]] == [False] + [True] * (len(RULES) + 1)


def test_health(server: Live) -> None:
    for path in ("live", "ready"):
        answer = ask(server.port, f"/v2/health/{path}")
        assert (answer.status, answer.body) == (200, b"")
    assert ask(server.port, "/v2/models/model/ready").status == 200
    assert ask(server.port, "/v2/models/model/versions/1/ready").status == 200
    for path in ("nope", "model/versions/7"):
        answer = ask(server.port, f"/v2/models/{path}/ready")
        assert (answer.status, answer.error) == (400, "Model version not ready")


def test_rows_with_options_of_their_own(server: Live) -> None:
    answer = infer(
        server,
        text(["a", "é"]),
        tensor("seed", "INT64", [7, -(2**63)]),
        tensor("temperature", "FP32", [0.5, 1]),
        tensor("beam", "BOOL", [True, False]),
        id="my request",
    )
    assert answer.status == 200
    assert list(answer.json) == ["id", "model_name", "model_version", "outputs"]
    assert answer.json["id"] == "my request"
    outputs = {one["name"]: one for one in answer.json["outputs"]}
    assert outputs["text"]["data"] == ["a|7|0.5|True", f"é|{-(2**63)}|1|False"]
    assert outputs["log_prob"] == {
        "name": "log_prob",
        "datatype": "FP32",
        "shape": [2, 1],
        "data": [-1.0, -1.0],
    }
    assert outputs["complete"]["data"] == [True, True]


def test_ids_are_padded(server: Live) -> None:
    answer = infer(server, text(["abc", ""]), outputs=[{"name": "ids"}])
    (ids,) = answer.json["outputs"]
    assert (ids["shape"], ids["data"]) == ([2, 3], [5, 5, 5, 0, 0, 0])
    assert infer(server, text([""]), outputs=[{"name": "ids"}]).json["outputs"][0]["data"] == []


def test_outputs_keep_the_models_order(server: Live) -> None:
    wanted = [{"name": "log_prob"}, {"name": "text"}, {"name": "text"}]
    answer = infer(server, text(["a"]), outputs=wanted)
    assert [one["name"] for one in answer.json["outputs"]] == ["text", "log_prob"]
    assert len(infer(server, text(["a"]), outputs=[]).json["outputs"]) == 4


def test_binary_both_ways(server: Live) -> None:
    words = ["", "naïve", "日本語 🙂", "line\nbreak\0"]
    blob = b"".join(element(word.encode()) for word in words)
    seeds = np.arange(4, dtype="<i8").tobytes()
    head = binary_text(len(blob), [4, 1])
    head["inputs"].append(
        {
            "name": "seed",
            "datatype": "INT64",
            "shape": [4, 1],
            "parameters": {"binary_data_size": len(seeds)},
        }
    )
    head["outputs"] = [{"name": "text", "parameters": {"binary_data": True}}, {"name": "ids"}]
    body, headers = framed(head, blob + seeds)
    answer = ask(server.port, INFER, body, headers=headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    outputs = {one["name"]: one for one in json.loads(answer.body[:length])["outputs"]}
    expected = b"".join(element(f"{w}|{k}|0|False".encode()) for k, w in enumerate(words))
    assert answer.body[length:] == expected
    assert outputs["text"]["parameters"] == {"binary_data_size": len(expected)}
    assert "data" in outputs["ids"]


def test_all_outputs_binary(server: Live) -> None:
    answer = infer(server, text(["ab"]), parameters={"binary_data_output": True})
    length = int(answer.headers["inference-header-content-length"])
    outputs = json.loads(answer.body[:length])["outputs"]
    sizes = [one["parameters"]["binary_data_size"] for one in outputs]
    assert sizes == [4 + len("ab|0|0|False"), 2 * 8, 4, 1]
    assert len(answer.body) == length + sum(sizes)


def test_noise_and_the_other_models(server: Live) -> None:
    noise = {"name": "noise", "datatype": "FP32", "shape": [1, LATENT], "data": [[0.0] * LATENT]}
    assert infer(server, text(["a"]), noise).status == 200
    answer = ask(server.port, "/v2/models/encoder/infer", {"inputs": [text(["abc", "d"])]})
    mean, log_variance = answer.json["outputs"]
    assert (mean["name"], mean["shape"]) == ("mean", [2, LATENT])
    assert mean["data"] == [3.0] * LATENT + [1.0] * LATENT
    assert log_variance["data"] == [-x for x in mean["data"]]
    body = {"inputs": [text(["abcd"])], "parameters": {"samples": 9}}
    answer = ask(server.port, "/v2/models/score/infer", body)
    assert {o["name"]: o["data"][0] for o in answer.json["outputs"]} == {
        "nll_iw": 4.0,
        "elbo": -1.0,
        "kl": 0.5,
        "reconstruction": 9.0,
    }
    body["parameters"] = {"samples": 10_000}
    assert ask(server.port, "/v2/models/score/infer", body).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_requests(server: Live, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    body = pack(json.dumps({"inputs": [text(["a"])]}).encode())
    assert ask(server.port, INFER, body, headers={"Content-Encoding": encoding}).status == 200
    bad = ask(server.port, INFER, body[:-3], headers={"Content-Encoding": encoding})
    assert bad.status == 400 and encoding in bad.error


def test_a_few_bytes_that_stand_for_gigabytes(server: Live) -> None:
    bomb = zlib.compress(bytes(1 << 26))
    answer = ask(server.port, INFER, bomb, headers={"Content-Encoding": "deflate"})
    assert (answer.status, "decompressed" in answer.error) == (413, True)


W = element(b"a")
BAD_BINARY = {
    "short": (binary_text(5), W[:4], None, "additional bytes"),
    "extra": (binary_text(5), W + b"x", None, "unexpected additional input data"),
    "no element": (binary_text(4), W[:4], None, "only 0 bytes"),
    "no length": (binary_text(3), W[:3], None, "expecting string of length 4"),
    "long element": (binary_text(5), b"\t\0\0\0a", None, "length 9 but only 1"),
    "huge element": (binary_text(5), b"\xff\xff\xff\xffa", None, "length 4294967295"),
    "two for one": (binary_text(10), W + W, None, "elements 2"),
    "one for two": (binary_text(5, [2, 1]), W, None, "elements 1"),
    "negative": (binary_text(-5), W, None, "binary_data_size is -5"),
    "huge": (binary_text(2**62), W, None, "additional bytes"),
    "a string": (binary_text("5"), W, None, "binary_data_size is '5'"),
    "a fraction": (binary_text(5.5), W, None, "binary_data_size"),
    "true": (binary_text(True), W, None, "binary_data_size is True"),
    "header too long": (binary_text(5), W, 99999, "should be in range"),
    "header negative": (binary_text(5), W, -1, "should be in range"),
    "header words": (binary_text(5), W, "abc", "should be in range"),
    "header 0": (binary_text(5), W, 0, "should be in range"),
    "header +": (binary_text(5), W, "+5", "should be in range"),
    "header _": (binary_text(5), W, "1_0", "should be in range"),
    "header short": (binary_text(5), W, 3, "failed to parse"),
    "not UTF-8": (binary_text(5), element(b"\xff"), None, "not UTF-8"),
}


@pytest.mark.parametrize("name", BAD_BINARY)
def test_bad_binary_tensors(server: Live, name: str) -> None:
    head, blob, length, message = BAD_BINARY[name]
    body, headers = framed(head, blob, length)
    answer = ask(server.port, INFER, body, headers=headers)
    assert answer.status == 400 and message in answer.error


def seed_of(*data: object, **more: object) -> dict[str, Any]:
    return {**tensor("seed", "INT64", list(data)), **more}


ONE = text(["a"])
BAD_JSON: dict[str, tuple[object, str]] = {
    "no JSON": (b"{", "failed to parse"),
    "empty": (b"", "failed to parse"),
    "not UTF-8": (b'{"inputs": "\xff"}', "not UTF-8"),
    "an array": ([], "must be a JSON object"),
    "no inputs": ({}, "no 'inputs'"),
    "inputs an object": ({"inputs": {}}, "must be a list"),
    "input a number": ({"inputs": [3]}, "must be an object"),
    "none": ({"inputs": []}, "missing required input"),
    "NaN": (b'{"inputs": NaN}', "NaN"),
    "digits": (b'{"inputs": ' + b"9" * 5000 + b"}", "failed to parse"),
    "id a number": ({"id": 7, "inputs": [ONE]}, "'id' is 7"),
    "wrong type": ({"inputs": [text(["a"], datatype="FP32")]}, "data-type is 'FP32'"),
    "unknown type": ({"inputs": [text(["a"], datatype="FOO")]}, "invalid datatype"),
    "type a list": ({"inputs": [text(["a"], datatype=["BYTES"])]}, "invalid datatype"),
    "unknown input": ({"inputs": [ONE, text(["a"], name="zz")]}, "unexpected inference input"),
    "name a list": ({"inputs": [text(["a"], name=["text"])]}, "unexpected inference input"),
    "twice": ({"inputs": [ONE, ONE]}, "already exists"),
    "rank 1": ({"inputs": [text(["a"], [1])]}, "unexpected shape"),
    "rank 3": ({"inputs": [text(["a"], [1, 1, 1])]}, "unexpected shape"),
    "two columns": ({"inputs": [text(["a", "b"], [1, 2])]}, "unexpected shape"),
    "no rows": ({"inputs": [text([], [0, 1])]}, "unexpected shape"),
    "negative": ({"inputs": [text(["a"], [-1, 1])]}, "unexpected shape"),
    "huge": ({"inputs": [text(["a"], [2**40, 2**40])]}, "unexpected shape"),
    "huge batch": ({"inputs": [text(["a"], [2**62, 1])]}, "batch-size must be <= 8"),
    "shape a word": ({"inputs": [text(["a"], "1")]}, "list of integers"),  # type: ignore[arg-type]
    "shape true": ({"inputs": [text(["a"], [True, 1])]}, "list of integers"),
    "too few": ({"inputs": [text(["a"], [2, 1])]}, "elements 1"),
    "too many": ({"inputs": [text(["a", "b"], [1, 1])]}, "elements 2"),
    "a number": ({"inputs": [text([3])]}, "holds 3, which is not BYTES"),
    "null": ({"inputs": [text([None])]}, "not BYTES"),
    "half a pair": ({"inputs": [text(["\ud800"])]}, "surrogate"),
    "a word for a number": ({"inputs": [ONE, seed_of("x")]}, "not INT64"),
    "a fraction": ({"inputs": [ONE, seed_of(1.5)]}, "not INT64"),
    "true": ({"inputs": [ONE, seed_of(True)]}, "not INT64"),
    "too big": ({"inputs": [ONE, seed_of(2**63)]}, "beyond INT64"),
    "1 for true": ({"inputs": [ONE, tensor("beam", "BOOL", [1])]}, "not BOOL"),
    "out of range": ({"inputs": [ONE, tensor("top_p", "FP32", [1.5])]}, "row 0: options: top_p"),
    "infinite": ({"inputs": [ONE, tensor("temperature", "FP32", [1e300])]}, "temperature"),
    "other batch": ({"inputs": [text(["a", "b"]), seed_of(1)]}, "does not match other inputs"),
    "9 rows": ({"inputs": [text(list("abcdefghi"))]}, "batch-size must be <= 8"),
    "no data": ({"inputs": [{k: v for k, v in ONE.items() if k != "data"}]}, "only one of"),
    "shared memory": (
        {"inputs": [text(["a"], parameters={"shared_memory_region": "x"})]},
        "only one of",
    ),
    "parameters a list": ({"inputs": [text(["a"], parameters=[1])]}, "must be an object"),
    "unknown output": ({"inputs": [ONE], "outputs": [{"name": "zz"}]}, "inference output 'zz'"),
    "output a word": ({"inputs": [ONE], "outputs": ["text"]}, "unexpected inference output"),
    "outputs an object": ({"inputs": [ONE], "outputs": {}}, "must be a list"),
    "classification": (
        {"inputs": [ONE], "outputs": [{"name": "text", "parameters": {"classification": 2}}]},
        "classification is not supported",
    ),
    "parameter a list": ({"inputs": [ONE], "parameters": {"x": []}}, "has invalid type"),
    "binary a number": ({"inputs": [ONE], "parameters": {"binary_data_output": 1}}, "true or"),
    "timeout a word": ({"inputs": [ONE], "parameters": {"timeout": "x"}}, "microseconds"),
    "timeout 0": ({"inputs": [ONE], "parameters": {"timeout": 0}}, "microseconds"),
    "too long": ({"inputs": [text(["a" * 20_001])]}, "20,001 characters; at most 20,000"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_requests(server: Live, name: str) -> None:
    body, message = BAD_JSON[name]
    answer = ask(server.port, INFER, body)
    assert answer.status == 400 and message in answer.error


def test_nesting_is_bounded(server: Live) -> None:
    for depth in (40, 900, 50_000):
        answer = ask(server.port, INFER, b"[" * depth + b"]" * depth)
        assert answer.status == 400
        answer = ask(server.port, INFER, b'{"a":' * depth + b"1" + b"}" * depth)
        assert answer.status == 400 and "nested" in answer.error


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nope/infer", 404),
        ("/v2/models/model/versions/7/infer", 404),
        ("/v2/models/model/versions/x/infer", 404),
        ("/v2/models/model/versions/1/infer", 200),
    ],
)
def test_unknown_models(server: Live, path: str, status: int) -> None:
    answer = ask(server.port, path, {"inputs": [ONE]})
    assert answer.status == status
    if status == 404:
        assert "Request for unknown model" in answer.error


def test_methods_and_addresses(server: Live) -> None:
    for path in ("/v2/", "/nope", "/v2/models", "/v2/models/model/versions"):
        answer = ask(server.port, path)
        assert (answer.status, answer.error) == (404, "Not Found")
    assert ask(server.port, INFER).status == 405
    assert ask(server.port, "/v2", b"").status == 405
    assert ask(server.port, "/v2/models/nope/stats").status == 400


def test_a_users_mistake_is_400_and_a_fault_500_without_details(server: Live) -> None:
    answer = infer(server, text(["too long for the model"]))
    assert answer.status == 400 and "item 0" in answer.error
    answer = infer(server, text(["boom"]))
    assert answer.status == 500
    assert "secret" not in answer.error
    assert infer(server, ONE).status == 200


def test_statistics(server: Live) -> None:
    before = ask(server.port, "/v2/models/model/stats").json["model_stats"][0]
    infer(server, text(["a", "b"]))
    after = ask(server.port, "/v2/models/model/stats").json["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] == before["execution_count"] + 1
    names = {s["name"] for s in ask(server.port, "/v2/models/stats").json["model_stats"]}
    assert names == {"model", "score", "encoder"}
    index = ask(server.port, "/v2/repository/index", b"").json
    assert {"name": "model", "version": "1", "state": "READY"} in index


SIZES = st.one_of(st.integers(-3, 40), st.integers(), st.booleans(), st.text(max_size=3))


@given(blob=st.binary(max_size=40), size=SIZES, shape=st.lists(SIZES, max_size=3), cut=SIZES)
def test_no_bytes_bring_the_server_down(
    server: Live, blob: bytes, size: object, shape: list[Any], cut: object
) -> None:
    body, headers = framed(binary_text(size, shape or [1, 1]), blob)
    if isinstance(cut, int) and 0 < cut < 30:
        headers["Inference-Header-Content-Length"] = str(cut)
    answer = ask(server.port, INFER, body, headers=headers)
    assert answer.status in (200, 400)


@given(st.binary(max_size=200))
def test_no_body_brings_the_server_down(server: Live, body: bytes) -> None:
    assert ask(server.port, INFER, body).status == 400
