"""The API document at /openapi.json: OpenAPI 3.1, from the same tables that requests are read by."""

from typing import Any

import seqvae
from seqvae.serving import generate, v1, v1_sound
from seqvae.serving.binary import HEADER
from seqvae.serving.fields import Field
from seqvae.serving.limits import Limits

_STRING: dict[str, Any] = {"type": "string"}
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}

_JSON = "application/json"
_ERRORS = {
    "400": "The request is not as it must be; the message names field, value and range.",
    "401": "A key is needed.",
    "404": "No such model or version, or not with this kind of bundle.",
    "408": "The body did not come in time.",
    "413": "The request is too large.",
    "415": "A content encoding other than gzip or deflate, or no sound where one is wanted.",
    "422": "A sound that cannot be used: damaged, too short, or with values that are no numbers.",
    "429": "The queue is full (when the server is set to say so with 429).",
    "500": "A fault of the server.",
    "503": "The queue is full, or the model is not served (yet, or any more): see Retry-After.",
    "504": "No answer within the time limit.",
}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": _STRING,
        "datatype": {"enum": ["BYTES", "BOOL", "INT64", "FP32"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2},
        "parameters": {"$ref": "#/components/schemas/Parameters"},
        "data": {"type": "array", "description": "The elements, rows first; may be nested."},
    },
}


def document(limits: Limits) -> dict[str, Any]:
    """The whole document for a server with these limits."""
    paths: dict[str, Any] = {
        "/": {"get": _operation("The page", {"200": _content("text/html", _STRING), **_bad(404)})},
        "/openapi.json": {"get": _get("This document", {"type": "object"})},
        "/metrics": {
            "get": _operation("Prometheus metrics", {"200": _content("text/plain", _STRING)})
        },
        "/v1/info": {"get": _get("What is served", {"type": "object"}, 503)},
        "/v1/voices": {"get": _get("The voices (speech bundles)", {"type": "object"}, 404, 503)},
        v1_sound.PATH: {"post": _convert()},
        **_v2(limits),
    }
    for task in v1.TASKS:
        operation = _operation(
            task.about,
            {
                "200": _content(_JSON, task.answers),
                **_bad(400, 404, 408, 413, 415, 429, 500, 503, 504),
            },
        )
        operation["requestBody"] = _body(_object(task.fields(limits)))
        paths[task.path] = {"post": operation}
    for item in paths.values():
        for method, operation in item.items():
            if method != "parameters":
                operation["responses"].update(_bad(401))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seqvae",
            "version": seqvae.__version__,
            "description": "Texts written, or voices changed, by a sequence VAE: the tasks below /v1, the "
            "Open Inference Protocol v2 with Triton's binary tensors and generate extension below "
            "/v2. Rows of concurrent requests are computed together; a row gets the same answer in "
            "any company.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": _STRING},
                },
                "Parameters": {
                    "type": "object",
                    "additionalProperties": {"type": ["boolean", "integer", "number", "string"]},
                },
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _v2(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {
        "/v2": {"get": _get("The server", {"type": "object"})},
        "/v2/health/live": {"get": _empty("Whether the process lives")},
        "/v2/health/ready": {"get": _empty("Whether requests are served", 400)},
        "/v2/models/stats": {"get": _get("Counters of every model", {"type": "object"}, 503)},
        "/v2/repository/index": {
            "post": _get("Models and their state", {"type": "array"}),
        },
    }
    for versioned in (False, True):
        path = "/v2/models/{model}" + ("/versions/{version}" if versioned else "")
        parameters = [_path_parameter("model", "model", "score", "encoder")]
        if versioned:
            parameters.append(_path_parameter("version", "1"))
        operations = {
            "": {"get": _get("A model's tensors", {"type": "object"}, 404, 503)},
            "/ready": {"get": _empty("Whether the model is served", 400)},
            "/config": {"get": _get("A model's configuration", {"type": "object"}, 404, 503)},
            "/stats": {"get": _get("A model's counters", {"type": "object"}, 400, 503)},
            "/infer": {"post": _infer()},
            "/generate": {"post": _generate(limits, stream=False)},
            "/generate_stream": {"post": _generate(limits, stream=True)},
        }
        for ending, item in operations.items():
            found[path + ending] = {"parameters": parameters, **item}
    return found


def _convert() -> dict[str, Any]:
    operation = _operation(
        v1_sound.ABOUT,
        {
            "200": _content("audio/wav", _BINARY),
            **_bad(400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
        },
    )
    operation["parameters"] = [
        {"name": field.name, "in": "query", "required": False, "schema": field.schema()}
        for field in v1_sound.FIELDS
    ]
    form = _object(v1_sound.FIELDS)
    form["properties"] |= {
        "sound": {**_BINARY, "description": "What is said: a sound file."},
        "voice": {**_STRING, "description": "A name, or a sound file of the voice."},
    }
    operation["requestBody"] = {
        "required": True,
        "content": {
            "audio/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {"schema": form | {"required": ["sound"]}},
        },
    }
    return operation


def _infer() -> dict[str, Any]:
    operation = _operation(
        "Inference. With the header the JSON is followed by binary tensor data.",
        {
            "200": {
                "description": "The outputs.",
                "content": {
                    _JSON: {"schema": {"type": "object"}},
                    "application/octet-stream": {"schema": _STRING},
                },
            },
            **_bad(400, 404, 408, 413, 415, 429, 500, 503, 504),
        },
    )
    operation["parameters"] = [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "Length of the JSON part in bytes.",
            "schema": {"type": "integer", "minimum": 1},
        }
    ]
    properties = {
        "id": _STRING,
        "parameters": {"$ref": "#/components/schemas/Parameters"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": _STRING,
                    "parameters": {"$ref": "#/components/schemas/Parameters"},
                },
            },
        },
    }
    operation["requestBody"] = _body(
        {"type": "object", "required": ["inputs"], "properties": properties}
    )
    return operation


def _generate(limits: Limits, *, stream: bool) -> dict[str, Any]:
    if stream:
        about, ok = "One text as server-sent events, part by part.", "text/event-stream"
        schema = {"type": "object", "properties": {"data": _STRING}}
    else:
        about, ok, schema = "One text.", _JSON, {"type": "object"}
    operation = _operation(
        about,
        {
            "200": _content(ok, schema),
            **_bad(400, 404, 408, 413, 415, 429, 500, 503, 504),
        },
    )
    body = _object(generate.fields(limits))
    body["properties"] |= {
        "id": _STRING,
        "text_input": {**_STRING, "description": "Another name of `text`."},
        "parameters": {"$ref": "#/components/schemas/Parameters"},
    }
    del body["required"]
    body["oneOf"] = [{"required": ["text"]}, {"required": ["text_input"]}]
    operation["requestBody"] = _body(body)
    return operation


def _object(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [field.name for field in fields if field.default is None],
        "properties": {field.name: field.schema() for field in fields},
        "additionalProperties": False,
    }


def _operation(about: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": about, "responses": responses}


def _get(about: str, schema: dict[str, Any], *errors: int) -> dict[str, Any]:
    return _operation(about, {"200": _content(_JSON, schema), **_bad(*errors)})


def _empty(about: str, *errors: int) -> dict[str, Any]:
    responses = {str(code): {"description": "No."} for code in errors}
    return _operation(about, {"200": {"description": "Yes."}, **responses})


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "The answer.", "content": {media_type: {"schema": schema}}}


def _bad(*codes: int) -> dict[str, Any]:
    error = {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(code): {"description": _ERRORS[str(code)], "content": error} for code in codes}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _path_parameter(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"enum": list(values)}}
