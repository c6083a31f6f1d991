"""The models offered over the Open Inference Protocol, and how their tensors become rows.

`model`    text and options in, text out: what `model.onnx` computes, with options left out at will
`encoder`  text in, the posterior's mean and log-variance out
`score`    text in, nats out; the request's parameters `samples` and `seed` are those of the estimate

What a bundle of speech offers is in `seqvae.serving.offered_sound`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from seqvae.errors import UserError
from seqvae.serving.binary import Array
from seqvae.serving.fields import Field, check_length, read_fields
from seqvae.serving.limits import Limits
from seqvae.serving.options import RULES, Options, Row
from seqvae.serving.refusal import refuse
from seqvae.serving.results import Score, Written
from seqvae.serving.service import Key
from seqvae.serving.tensor_spec import Spec

SAMPLES = 16
"""Samples of z for a score when a request does not say."""
_DATATYPES = {np.int64: "INT64", np.float32: "FP32", np.bool_: "BOOL"}
_TEXT = Spec("text", "BYTES", 1, "UTF-8, one text a row")

Read = Callable[[dict[str, Array], Mapping[str, Any], Limits], tuple[Key, list[Any]]]
Write = Callable[[Sequence[Any]], dict[str, Array]]


@dataclass(frozen=True)
class Offered:
    """A model as clients see it.

    Attributes:
        name: in its address.
        inputs: tensors it takes.
        outputs: tensors it gives.
        read: (tensors, the request's parameters, limits) -> key and items of a job.
        write: results of the items -> tensors.
    """

    name: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    read: Read
    write: Write


@lru_cache
def offered(latent: int) -> dict[str, Offered]:
    """The models that a bundle with so large a latent (0: none) has something to offer for."""
    options = tuple(
        Spec(name, _DATATYPES[rule.dtype], 1, rule.wanted, optional=True)
        for name, rule in RULES.items()
    )
    noise = Spec("noise", "FP32", latent, "of z, instead of the seed's", optional=True)
    models = [
        Offered(
            "model",
            (_TEXT, *options, *([noise] if latent else [])),
            (
                Spec("text", "BYTES", 1, "what was written"),
                Spec("ids", "INT64", -1, "its token ids, 0 behind the last"),
                Spec("log_prob", "FP32", 1, "log p(ids | z) in nats"),
                Spec("complete", "BOOL", 1, "whether it ended before the limit"),
            ),
            _read_rows,
            _write_rows,
        ),
        Offered(
            "score",
            (_TEXT,),
            tuple(
                Spec(name, "FP32", 1, "nats") for name in ("nll_iw", "elbo", "kl", "reconstruction")
            ),
            _read_scored,
            _write_scores,
        ),
    ]
    if latent:
        outputs = tuple(
            Spec(name, "FP32", latent, "of q(z | text)") for name in ("mean", "log_variance")
        )
        models.append(Offered("encoder", (_TEXT,), outputs, _read_encoded, _write_encoded))
    return {model.name: model for model in models}


def score_fields(limits: Limits) -> tuple[Field, ...]:
    """What a request for scores may say beside its texts."""
    return (
        Field(
            "samples",
            "integer",
            "Samples of z for nll_iw; more are tighter.",
            min(SAMPLES, limits.max_samples),
            1,
            limits.max_samples,
        ),
        Field("seed", "integer", "Fixes them.", 0, -(2**63), 2**63 - 1),
    )


def _texts(tensors: dict[str, Array], limits: Limits) -> list[str]:
    texts: list[str] = tensors["text"][:, 0].tolist()
    for number, text in enumerate(texts):
        check_length(f"text: item {number}", text, limits.max_text)
    return texts


def _read_rows(
    tensors: dict[str, Array], parameters: Mapping[str, Any], limits: Limits
) -> tuple[Key, list[Any]]:
    texts, noise = _texts(tensors, limits), tensors.get("noise")
    given = {name: tensors[name][:, 0].tolist() for name in RULES if name in tensors}
    rows = []
    for index, text in enumerate(texts):
        try:
            options = Options(**{name: values[index] for name, values in given.items()})
        except UserError as error:
            refuse(f"row {index}: {error}")
        rows.append(Row(text, options, None if noise is None else noise[index]))
    return ("model",), rows


def _write_rows(results: Sequence[Written]) -> dict[str, Array]:
    longest = max(len(one.ids) for one in results)
    ids = np.zeros((len(results), longest), np.int64)
    for row, one in zip(ids, results, strict=True):
        row[: len(one.ids)] = one.ids
    return {
        "text": _column([one.text for one in results], np.dtype(object)),
        "ids": ids,
        "log_prob": _column([one.log_prob for one in results]),
        "complete": _column([one.complete for one in results], np.dtype(bool)),
    }


def _read_encoded(
    tensors: dict[str, Array], parameters: Mapping[str, Any], limits: Limits
) -> tuple[Key, list[Any]]:
    return ("encoder",), _texts(tensors, limits)


def _write_encoded(results: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
    means, log_variances = zip(*results, strict=True)
    return {"mean": np.stack(means), "log_variance": np.stack(log_variances)}


def _read_scored(
    tensors: dict[str, Array], parameters: Mapping[str, Any], limits: Limits
) -> tuple[Key, list[Any]]:
    fields = score_fields(limits)
    mine = {name: parameters[name] for name in ("samples", "seed") if name in parameters}
    values = read_fields(mine, fields, "parameters")
    return ("score", values["samples"], values["seed"]), _texts(tensors, limits)


def _write_scores(results: Sequence[Score]) -> dict[str, Array]:
    names = ("nll_iw", "elbo", "kl", "reconstruction")
    return {name: _column([getattr(one, name) for one in results]) for name in names}


def _column(values: Sequence[object], dtype: np.dtype[Any] | None = None) -> Array:
    return np.array(values, dtype or np.float32).reshape(-1, 1)
