"""The server around the real engine: every address gives what the engine gives."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from seqvae.serving.engine import Engine
from seqvae.serving.options import Options, Row
from seqvae.serving.service import Model, facts_of
from tests.serving.client import INFER, ask, tensor, text
from tests.serving.stub import Live, live

TEXTS = ["the cat sat", "", "日本語 🙂", "a dog"]


@contextmanager
def serving(engine: Engine) -> Iterator[Live]:
    """A server around an engine that other tests use too, over a bundle without golden rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "close", lambda: None)
        patch.setattr(engine, "check_golden", lambda: None)
        with live(model=Model(engine, facts_of(engine))) as running:
            yield running


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Live]:
    with serving(engine) as running:
        yield running


def test_infer(server: Live, engine: Engine) -> None:
    options = [Options(seed=k, temperature=0.25 * k, max_length=12) for k in range(4)]
    rows = [Row(text, one) for text, one in zip(TEXTS, options, strict=True)]
    answer = ask(
        server.port,
        INFER,
        {
            "inputs": [
                text(TEXTS),
                tensor("seed", "INT64", [one.seed for one in options]),
                tensor("temperature", "FP32", [one.temperature for one in options]),
                tensor("max_length", "INT64", [12] * 4),
            ]
        },
    )
    assert answer.status == 200, answer.body
    outputs = {one["name"]: one for one in answer.json["outputs"]}
    written = engine.generate(rows)
    assert outputs["text"]["data"] == [one.text for one in written]
    assert outputs["log_prob"]["data"] == pytest.approx([one.log_prob for one in written])
    assert outputs["complete"]["data"] == [one.complete for one in written]


def test_noise(server: Live, engine: Engine) -> None:
    noise = np.linspace(-2, 2, engine.bundle.latent, dtype=np.float32)
    tensors = [
        text(["the cat sat"]),
        {"name": "noise", "datatype": "FP32", "shape": [1, len(noise)], "data": noise.tolist()},
    ]
    answer = ask(server.port, INFER, {"inputs": tensors, "outputs": [{"name": "text"}]})
    (written,) = engine.generate([Row("the cat sat", noise=noise)])
    assert answer.json["outputs"][0]["data"] == [written.text]


def test_concurrent_rows_are_not_mixed_up(server: Live, engine: Engine) -> None:
    options = {"temperature": 1.0, "max_length": 10}

    def one(seed: int) -> str:
        body = {"text": TEXTS[seed % 4], "seed": seed, **options}
        return str(ask(server.port, "/v2/models/model/generate", body).json["text"])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(24)))
    rows = [Row(TEXTS[s % 4], Options(seed=s, temperature=1.0, max_length=10)) for s in range(24)]
    assert found == [written.text for written in engine.generate(rows)]


def test_a_stream_joined_is_what_generate_writes(server: Live) -> None:
    body = {"text": "the cat sat", "seed": 5, "temperature": 1.0, "max_length": 12}
    whole = ask(server.port, "/v2/models/model/generate", body).json["text"]
    answer = ask(server.port, "/v2/models/model/generate_stream", body)
    parts = [json.loads(line[6:]) for line in answer.body.decode().split("\n\n") if line]
    assert "".join(part["text"] for part in parts) == whole


def test_the_plain_addresses(server: Live, engine: Engine) -> None:
    answer = ask(server.port, "/v1/paraphrase", {"texts": TEXTS[:2], "n": 3, "max_length": 12})
    expected = engine.paraphrase(TEXTS[:2], 3, options=Options(max_length=12))
    assert [
        [candidate["text"] for candidate in result["candidates"]]
        for result in answer.json["results"]
    ] == [[candidate.text for candidate in one.candidates] for one in expected]
    (score,) = ask(server.port, "/v1/score", {"texts": ["the cat sat"], "samples": 4}).json[
        "scores"
    ]
    (known,) = engine.score(["the cat sat"], samples=4)
    assert score["nll_iw"] == pytest.approx(known.nll_iw, rel=1e-5)
    assert [one["piece"] for one in score["pieces"]] == [one.piece for one in known.pieces]
    body = {"a": "the cat", "b": "a dog", "steps": 3, "max_length": 12}
    assert ask(server.port, "/v1/interpolate", body).json["texts"] == engine.interpolate(
        "the cat", "a dog", 3, options=Options(max_length=12)
    )
    body = {"n": 3, "seed": 4, "max_length": 12}
    assert ask(server.port, "/v1/sample", body).json["texts"] == engine.sample(
        3, Options(seed=4, temperature=1.0, top_p=0.9, max_length=12)
    )


def test_the_other_models(server: Live, engine: Engine) -> None:
    body = {"inputs": [text(["the cat sat"])], "parameters": {"binary_data_output": True}}
    answer = ask(server.port, "/v2/models/encoder/infer", body)
    length = int(answer.headers["inference-header-content-length"])
    found = np.frombuffer(answer.body[length:], "<f4").reshape(2, -1)
    mean, log_variance = engine.encode(["the cat sat"])
    np.testing.assert_allclose(found, np.concatenate([mean, log_variance]), rtol=1e-6)
    answer = ask(server.port, "/v2/models/score/infer", {"inputs": [text(["the cat sat"])]})
    assert answer.status == 200


def test_info_and_mistakes(server: Live, engine: Engine) -> None:
    found = ask(server.port, "/v1/info").json
    assert found["latent"] == engine.bundle.latent
    assert found["options"]["temperature"]["dtype"] == "float32"
    assert found["beam_size"] == engine.bundle.beam_size
    long = ask(server.port, "/v1/score", {"texts": ["the cat sat on " * 200]})
    assert long.status == 400 and "item 0" in long.error
    assert str(engine.bundle.path) not in long.error
    assert ask(server.port, "/v1/sample", {"temperature": 0, "n": 2}).status == 200


def test_a_language_model(language_engine: Engine) -> None:
    with serving(language_engine) as server:
        assert ask(server.port, "/v1/info").json["latent"] == 0
        body = {"n": 2, "max_length": 8}
        assert len(ask(server.port, "/v1/sample", body).json["texts"]) == 2
        assert ask(server.port, "/v1/score", {"texts": ["a dog"], "samples": 1}).status == 200
        assert ask(server.port, "/v1/paraphrase", {"texts": ["a dog"]}).status == 400
        greedy = ask(server.port, "/v1/sample", {"n": 2, "temperature": 0})
        assert greedy.status == 400 and "set a temperature" in greedy.error
