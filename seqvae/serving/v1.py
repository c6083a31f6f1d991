"""Plain JSON: one address a task. What each takes stands in a table that the API document shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

import seqvae
from seqvae.serving.exchange import answer, read_object, route, unless_gone
from seqvae.serving.fields import Field, check_length, option_fields, read_fields, read_options
from seqvae.serving.limits import Limits
from seqvae.serving.offered import score_fields
from seqvae.serving.options import Options
from seqvae.serving.refusal import refuse
from seqvae.serving.results import Paraphrase, Score
from seqvae.serving.service import Facts, Model, Service

CANDIDATES = 5
STEPS = 7
_SAMPLING = Options(temperature=1.0, top_p=0.9)


@dataclass(frozen=True)
class Task:
    """One address that takes JSON and gives JSON.

    Attributes:
        path: the address.
        about: what it does.
        fields: what a request may say, given the limits.
        answers: JSON schema of the answer.
    """

    path: str
    about: str
    fields: Callable[[Limits], tuple[Field, ...]]
    answers: dict[str, Any]


def _texts(limits: Limits) -> Field:
    about = f"UTF-8, each at most {limits.max_text:,} characters."
    return Field("texts", "strings", about, None, 1, limits.max_batch)


def _list_of(**properties: object) -> dict[str, Any]:
    item = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "array", "items": item}


def _answer_of(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_STRING, _NATS, _TRUTH = {"type": "string"}, {"type": ["number", "null"]}, {"type": "boolean"}
_STRINGS = {"type": "array", "items": _STRING}

PARAPHRASE = Task(
    "/v1/paraphrase",
    "Other texts from around each text's place in the latent, best first, copies last. "
    "`score` is nats per piece; texts times `n` may not exceed the greatest batch.",
    lambda limits: (
        _texts(limits),
        Field(
            "n",
            "integer",
            "Candidates for each text.",
            min(CANDIDATES, limits.max_batch),
            1,
            limits.max_batch,
        ),
        Field("distinct", "boolean", "Draw again instead of repeating a candidate.", True),
        *option_fields(Options()),
    ),
    _answer_of(
        results=_list_of(text=_STRING, candidates=_list_of(text=_STRING, score=_NATS, copy=_TRUTH))
    ),
)
SCORE = Task(
    "/v1/score",
    "How surprising texts are, in nats, piece by piece; `nll_iw` is the anomaly score.",
    lambda limits: (_texts(limits), *score_fields(limits)),
    _answer_of(
        scores=_list_of(
            text=_STRING,
            nll_iw=_NATS,
            elbo=_NATS,
            kl=_NATS,
            reconstruction=_NATS,
            pieces=_list_of(piece=_STRING, surprisal=_NATS),
        )
    ),
)
INTERPOLATE = Task(
    "/v1/interpolate",
    "Texts on the way from one text to another through the latent space.",
    lambda limits: (
        Field("a", "string", "First text.", None, None, limits.max_text),
        Field("b", "string", "Last text.", None, None, limits.max_text),
        Field(
            "steps",
            "integer",
            "Texts wanted, the reconstructions of both ends included.",
            min(STEPS, limits.max_steps, limits.max_batch),
            2,
            min(limits.max_steps, limits.max_batch),
        ),
        Field("spherical", "boolean", "Along the arc, where the prior has its mass.", True),
        *option_fields(Options(), leave_out=("noise_scale",)),
    ),
    _answer_of(texts=_STRINGS),
)
SAMPLE = Task(
    "/v1/sample",
    "New texts from the prior; the first of many are those of fewer under the same seed.",
    lambda limits: (
        Field("n", "integer", "How many.", 1, 1, limits.max_batch),
        *option_fields(_SAMPLING, leave_out=("noise_scale",)),
    ),
    _answer_of(texts=_STRINGS),
)
TASKS = (PARAPHRASE, SCORE, INTERPOLATE, SAMPLE)


def routes() -> list[BaseRoute]:
    """Every address below /v1."""
    return [
        route("/v1/info", _info),
        route(PARAPHRASE.path, _paraphrase, method="POST"),
        route(SCORE.path, _score, method="POST"),
        route(INTERPOLATE.path, _interpolate, method="POST"),
        route(SAMPLE.path, _sample, method="POST"),
    ]


def info(facts: Facts, limits: Limits) -> dict[str, Any]:
    """What `/v1/info` tells: what is served, what a row may ask for, and how much at once."""
    found = {
        "name": facts.name,
        "version": seqvae.__version__,
        "kind": facts.kind,
        "tasks": list(facts.tasks),
        "latent": facts.latent,
        "labels": list(facts.labels),
        "options": facts.options,
        "variant": facts.variant,
        "provider": facts.provider,
    }
    bounds = {"max_batch": limits.max_batch, "timeout": limits.timeout}
    if facts.speech:
        found |= {
            "sample_rate": facts.speech.rate,
            "recordings": facts.speech.style > 0,
            "limits": bounds | {"max_seconds": limits.max_seconds, "max_body": limits.max_body},
        }
        return found
    bounds |= {
        "max_text": limits.max_text,
        "max_samples": limits.max_samples,
        "max_steps": min(limits.max_steps, limits.max_batch),
    }
    return found | {
        "max_length": facts.max_length,
        "beam_size": facts.beam_size,
        "limits": bounds,
    }


async def _info(service: Service, request: Request) -> Response:
    return answer(info(service.loaded().facts, service.limits))


async def _read(service: Service, request: Request, task: Task) -> tuple[Model, dict[str, Any]]:
    model = service.loaded()
    model.text()
    service.check_room(task.path.rpartition("/")[2])
    body = await read_object(service, request)
    values = read_fields(body, task.fields(service.limits))
    limit = service.limits.max_text
    for number, text in enumerate(values.get("texts", ())):
        check_length(f"texts: item {number}", text, limit)
    for end in ("a", "b"):
        check_length(end, values.get(end, ""), limit)
    return model, values


def _need_latent(model: Model) -> None:
    if not model.facts.latent:
        refuse("this is a language model, without a latent; it offers /v1/sample and /v1/score")


async def _paraphrase(service: Service, request: Request) -> Response:
    model, values = await _read(service, request, PARAPHRASE)
    _need_latent(model)
    key = ("paraphrase", values["n"], read_options(values), values["distinct"])
    texts = values["texts"]
    job = service.run(key, texts, values["n"] * len(texts))
    results: list[Paraphrase] = await unless_gone(request, job)
    return answer(
        {
            "results": [
                {
                    "text": result.text,
                    "candidates": [
                        {"text": one.text, "score": one.score, "copy": one.copy}
                        for one in result.candidates
                    ],
                }
                for result in results
            ]
        }
    )


async def _score(service: Service, request: Request) -> Response:
    _, values = await _read(service, request, SCORE)
    key = ("score", values["samples"], values["seed"])
    texts = values["texts"]
    scores: list[Score] = await unless_gone(request, service.run(key, texts, len(texts)))
    return answer(
        {
            "scores": [
                {
                    "text": score.text,
                    "nll_iw": score.nll_iw,
                    "elbo": score.elbo,
                    "kl": score.kl,
                    "reconstruction": score.reconstruction,
                    "pieces": [
                        {"piece": piece.piece, "surprisal": piece.surprisal}
                        for piece in score.pieces
                    ],
                }
                for score in scores
            ]
        }
    )


async def _interpolate(service: Service, request: Request) -> Response:
    model, values = await _read(service, request, INTERPOLATE)
    _need_latent(model)
    steps = values["steps"]
    key = ("interpolate", steps, values["spherical"], read_options(values))
    job = service.run(key, [(values["a"], values["b"])], steps)
    (texts,) = await unless_gone(request, job)
    return answer({"texts": texts})


async def _sample(service: Service, request: Request) -> Response:
    _, values = await _read(service, request, SAMPLE)
    n, options = values["n"], read_options(values)
    (texts,) = await unless_gone(request, service.run(("sample", options), [n], n))
    return answer({"texts": texts})
