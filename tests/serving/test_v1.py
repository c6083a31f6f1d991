"""Plain JSON, the page, the API document."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest

import seqvae
from seqvae.serving.limits import Limits
from seqvae.serving.service import Model, State
from tests.serving.client import ask
from tests.serving.stub import FACTS, LATENT, Live, StubEngine, live


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(limits=Limits(max_batch=8)) as running:
        yield running


def test_info(server: Live) -> None:
    found = ask(server.port, "/v1/info").json
    assert found["kind"] == "text" and found["name"] == "toy" and found["latent"] == LATENT
    assert found["version"] == seqvae.__version__
    assert found["options"]["seed"]["default"] == 0
    assert found["limits"]["max_batch"] == 8


def test_paraphrase(server: Live) -> None:
    body = {"texts": ["a", "b"], "n": 2, "noise_scale": 0.5, "seed": 3, "beam": False}
    assert ask(server.port, "/v1/paraphrase", body).json == {
        "results": [
            {
                "text": text,
                "candidates": [
                    {"text": f"{text} {k} 0.5", "score": -1.0 * k, "copy": False} for k in range(2)
                ],
            }
            for text in "ab"
        ]
    }


def test_score(server: Live) -> None:
    (found,) = ask(server.port, "/v1/score", {"texts": ["abc"], "samples": 4}).json["scores"]
    assert found == {
        "text": "abc",
        "nll_iw": 3.0,
        "elbo": -1.0,
        "kl": 0.5,
        "reconstruction": 4.0,
        "pieces": [{"piece": "abc", "surprisal": 1.5}],
    }


def test_interpolate_and_sample(server: Live) -> None:
    found = ask(server.port, "/v1/interpolate", {"a": "x", "b": "y", "steps": 3}).json
    assert found == {"texts": ["x-y-0", "x-y-1", "x-y-2"]}
    found = ask(server.port, "/v1/sample", {"n": 2, "seed": 9}).json
    assert found == {"texts": ["sample 9 0", "sample 9 1"]}
    assert len(ask(server.port, "/v1/sample", {}).json["texts"]) == 1
    assert len(ask(server.port, "/v1/sample", b'{"n": 2.0}').json["texts"]) == 2


def test_a_text_bundle_converts_no_voices(server: Live) -> None:
    answer = ask(server.port, "/v1/convert", b"RIFF")
    assert answer.status == 404 and "speech bundle" in answer.error


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("paraphrase", {}, "needs the field 'texts'"),
        ("paraphrase", b"[]", "JSON object"),
        ("paraphrase", {"texts": "a"}, "texts is 'a'; it must be a list of strings"),
        ("paraphrase", {"texts": []}, "at least 1"),
        ("paraphrase", {"texts": ["a", 3]}, "item 1 is 3, not a string"),
        ("paraphrase", {"texts": ["\udc00"]}, "surrogate"),
        ("paraphrase", {"texts": ["a"] * 9}, "texts is a list of 9"),
        ("paraphrase", {"texts": ["a"] * 3, "n": 3}, "9 rows; at most 8"),
        ("paraphrase", {"texts": ["a"], "n": True}, "n is True"),
        ("paraphrase", {"texts": ["a"], "n": 2.5}, "n is 2.5"),
        ("paraphrase", {"texts": ["a"], "n": 0}, "n is 0; it must be an integer, at least 1"),
        ("paraphrase", {"texts": ["a"], "top_p": 0}, "top_p"),
        ("paraphrase", {"texts": ["a"], "seed": 2**63}, "at most 9223372036854775807"),
        ("paraphrase", {"texts": ["a"], "temperature": -1}, "temperature is -1"),
        ("paraphrase", {"texts": ["a"], "temperature": 1e308}, "temperature"),
        ("paraphrase", {"texts": ["a"], "beam": 1}, "beam is 1; it must be a boolean"),
        ("paraphrase", {"texts": ["a"], "noise": 1}, "did you mean noise_scale?"),
        ("paraphrase", {"texts": ["x" * 20_001]}, "item 0 has 20,001 characters"),
        ("paraphrase", {"texts": ["too long"]}, "30 pieces"),
        ("score", {"texts": ["a"], "samples": 1000}, "at most 256"),
        ("interpolate", {"a": "x"}, "needs the field 'b'"),
        ("interpolate", {"a": "x", "b": "y", "steps": 1}, "at least 2"),
        ("interpolate", {"a": "x", "b": "y" * 20_001}, "b has 20,001"),
        ("interpolate", {"a": "x", "b": None}, "b is None; it must be a string"),
        ("sample", {"n": 9}, "at most 8"),
        ("sample", {"n": 10**400}, "n is 1000"),
    ],
)
def test_refusals(server: Live, path: str, body: object, message: str) -> None:
    answer = ask(server.port, f"/v1/{path}", body)
    assert answer.status == 400 and message in answer.error
    assert len(answer.error) < 400


def test_a_language_model_offers_what_it_can() -> None:
    engine = StubEngine()
    with live(engine) as server:
        server.service.model = Model(engine, dataclasses.replace(FACTS, latent=0))
        assert ask(server.port, "/v1/info").json["latent"] == 0
        for path, body in (("paraphrase", {"texts": ["a"]}), ("interpolate", {"a": "", "b": ""})):
            answer = ask(server.port, f"/v1/{path}", body)
            assert answer.status == 400 and "language model" in answer.error
        assert ask(server.port, "/v1/sample", {"n": 1}).status == 200
        assert ask(server.port, "/v2/models/encoder").status == 404
        names = [one["name"] for one in ask(server.port, "/v2/models/model").json["inputs"]]
        assert "noise" not in names


def test_a_number_that_json_has_no_form_for_is_null(server: Live) -> None:
    from seqvae.serving.exchange import answer

    found = bytes(answer({"scores": [float("inf"), -1.5, {"x": float("nan")}]}).body)
    assert found == b'{"scores":[null,-1.5,{"x":null}]}'


def test_the_page_needs_nothing_from_elsewhere(server: Live) -> None:
    page = ask(server.port, "/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    files = re.findall(r'(?:href|src)="(page/[^"]+)"', page.body.decode())
    assert files
    for name in files:
        assert ask(server.port, f"/{name}").status == 200
    for path in ("/page/nope.js", "/page/..%2fengine.py", "/page/../engine.py", "/page/"):
        assert ask(server.port, path).status == 404


def schemas_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post"):
                yield path, method, operation


def test_the_api_document_is_that_of_the_routes(server: Live) -> None:
    document = ask(server.port, "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    from seqvae.serving import generate, v1, v1_sound, v2

    routes = {
        (route.path, method.lower())  # type: ignore[attr-defined]
        for route in (*v1.routes(), *v1_sound.routes(), *v2.routes(), *generate.routes())
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    documented = {(path, method) for path, method, _ in schemas_of(document)}
    assert documented - {(p, "get") for p in ("/", "/metrics", "/openapi.json")} == routes
    for _, _, operation in schemas_of(document):
        assert operation["summary"]
        assert "401" in operation["responses"]


def test_the_api_document_says_what_requests_may(server: Live) -> None:
    document = ask(server.port, "/openapi.json").json
    schema = document["paths"]["/v1/paraphrase"]["post"]["requestBody"]["content"]
    schema = schema["application/json"]["schema"]
    assert schema["required"] == ["texts"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["n"] == {
        "description": "Candidates for each text.",
        "type": "integer",
        "minimum": 1,
        "maximum": 8,
        "default": 5,
    }
    defaults = {k: v["default"] for k, v in schema["properties"].items() if "default" in v}
    assert ask(server.port, "/v1/paraphrase", {"texts": ["a"], **defaults}).status == 200


def test_the_api_document_is_valid(server: Live) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_dict(ask(server.port, "/openapi.json").json)
    assert sum(1 for _ in schema.get_all_operations()) > 20
    schema.validate()


def test_before_it_is_loaded_a_client_is_told_when_to_come_again() -> None:
    with live() as server:
        server.service.state = State.STARTING
        for path in ("/v1/info", "/v2/models/model", "/v2/models/stats"):
            answer = ask(server.port, path)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "being loaded" in answer.error
        assert ask(server.port, "/v1/sample", {}).status == 503
        assert ask(server.port, "/v2/health/ready").status == 400
        assert ask(server.port, "/v2/models/model/ready").status == 400
        assert ask(server.port, "/v2/health/live").status == 200
        assert ask(server.port, "/").status == 200
