"""The Open Inference Protocol v2, answered as Triton Inference Server answers it.

Messages and status codes are Triton's where a request is sound; of one that is not (no JSON, a
wrong type) Triton says 500, and this server 400. Not offered: shared memory, classification,
loading models, tracing.
https://github.com/kserve/open-inference-protocol, Triton's docs/protocol/
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

import seqvae
from seqvae.serving import binary
from seqvae.serving.binary import HEADER
from seqvae.serving.exchange import answer, read_body, route, unless_gone
from seqvae.serving.fields import check_text
from seqvae.serving.limits import read_json
from seqvae.serving.metrics import VERSION
from seqvae.serving.offered import Offered
from seqvae.serving.offered_models import offered_by
from seqvae.serving.refusal import Refusal, refuse, shown
from seqvae.serving.results import Written
from seqvae.serving.service import Service, State
from seqvae.serving.tensor_spec import Spec

EXTENSIONS = (
    "binary_tensor_data",
    "generate",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
_PLATFORM = "onnxruntime_onnx"
_TYPES = {"BYTES": "TYPE_STRING", "BOOL": "TYPE_BOOL", "INT64": "TYPE_INT64", "FP32": "TYPE_FP32"}


def routes() -> list[BaseRoute]:
    """Every address below /v2 but those of `generate`."""
    found = [
        route("/v2", _server),
        route("/v2/health/live", _live),
        route("/v2/health/ready", _ready),
        route("/v2/models/stats", _all_statistics),
        route("/v2/repository/index", _index, method="POST"),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            route(model, _metadata),
            route(f"{model}/ready", _model_ready),
            route(f"{model}/config", _config),
            route(f"{model}/stats", _statistics),
            route(f"{model}/infer", _infer, method="POST"),
        ]
    return list(found)


def find(service: Service, request: Request) -> Offered:
    """The model that a request's address names.

    Raises:
        Refusal: 404 there is none; 503 none is loaded.
    """
    models = offered_by(service.loaded())
    name, version = request.path_params["model"], request.path_params.get("version")
    if name not in models:
        raise Refusal(404, f"Request for unknown model: '{name[:100]}' is not found")
    if version not in (None, VERSION):
        raise Refusal(
            404, f"Request for unknown model: '{name}' version {version[:20]} is not found"
        )
    return models[name]


async def _server(service: Service, request: Request) -> Response:
    return answer({"name": "seqvae", "version": seqvae.__version__, "extensions": list(EXTENSIONS)})


async def _live(service: Service, request: Request) -> Response:
    return Response()


async def _ready(service: Service, request: Request) -> Response:
    return Response(status_code=200 if service.state is State.READY else 400)


async def _model_ready(service: Service, request: Request) -> Response:
    try:
        find(service, request)
    except Refusal:
        raise Refusal(400, "Model version not ready") from None
    return Response()


async def _metadata(service: Service, request: Request) -> Response:
    model = find(service, request)

    def tensors(specs: tuple[Spec, ...]) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]} for one in specs
        ]

    return answer(
        {
            "name": model.name,
            "versions": [VERSION],
            "platform": _PLATFORM,
            "inputs": tensors(model.inputs),
            "outputs": tensors(model.outputs),
        }
    )


async def _config(service: Service, request: Request) -> Response:
    model, limits = find(service, request), service.limits

    def tensors(specs: tuple[Spec, ...]) -> list[dict[str, Any]]:
        return [{"name": s.name, "data_type": _TYPES[s.datatype], "dims": s.shape} for s in specs]

    inputs = tensors(model.inputs)
    for tensor, spec in zip(inputs, model.inputs, strict=True):
        tensor["optional"] = spec.optional
    return answer(
        {
            "name": model.name,
            "platform": _PLATFORM,
            "backend": "onnxruntime",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": limits.max_batch,
            "input": inputs,
            "output": tensors(model.outputs),
            "dynamic_batching": {
                "max_queue_delay_microseconds": round(1000 * limits.window_ms),
                "default_queue_policy": {"max_queue_size": limits.max_queue},
            },
        }
    )


async def _index(service: Service, request: Request) -> Response:
    names = offered_by(service.model) if service.model else ()
    state = "READY" if service.state is State.READY else "UNAVAILABLE"
    return answer([{"name": name, "version": VERSION, "state": state} for name in names])


async def _all_statistics(service: Service, request: Request) -> Response:
    names = offered_by(service.loaded())
    return answer({"model_stats": [_statistics_of(service, name) for name in names]})


async def _statistics(service: Service, request: Request) -> Response:
    try:
        name = find(service, request).name
    except Refusal as error:
        if error.status != 404:
            raise
        refuse(f"requested model '{request.path_params['model'][:100]}' is not available")
    return answer({"model_stats": [_statistics_of(service, name)]})


def _statistics_of(service: Service, name: str) -> dict[str, Any]:
    found = service.metrics.statistics[name]

    def times(count: int, nanoseconds: int) -> dict[str, int]:
        return {"count": count, "ns": nanoseconds}

    return {
        "name": name,
        "version": VERSION,
        "last_inference": found.last_inference,
        "inference_count": found.inferences,
        "execution_count": found.executions,
        "inference_stats": {
            "success": times(found.successes, found.success_ns),
            "fail": times(found.failures, 0),
            "queue": times(found.successes, found.queue_ns),
            "compute_input": times(found.successes, 0),
            "compute_infer": times(found.successes, found.compute_ns),
            "compute_output": times(found.successes, 0),
            "cache_hit": times(0, 0),
            "cache_miss": times(0, 0),
        },
        "batch_stats": [],
    }


async def _infer(service: Service, request: Request) -> Response:
    model = find(service, request)
    service.check_room(model.name)
    content = await read_body(service, request)
    head, rest = binary.split(content, request.headers.get(HEADER))
    body = read_json(head, service.limits)
    answered = {"id": read_id(body)} if "id" in body else {}
    parameters = read_parameters(body.get("parameters", {}))
    wanted = _wanted(body.get("outputs"), model, bool(parameters.get("binary_data_output")))
    if "inputs" not in body:
        refuse("the request has no 'inputs'")
    tensors = binary.read_inputs(body["inputs"], rest, model.inputs, model.name, service.limits)
    key, items = model.read(tensors, parameters, service.limits)
    results = await unless_gone(
        request, service.run(key, items, len(items), timeout_of(parameters))
    )
    count_tokens(service, results)
    answered |= {"model_name": model.name, "model_version": VERSION}
    return binary.write_outputs(answered, model.write(results), model.outputs, wanted)


def _wanted(outputs: object, model: Offered, all_binary: bool) -> dict[str, bool]:
    """For each output that is wanted, whether as bytes; all when none is named."""
    names = [spec.name for spec in model.outputs]
    if outputs is None or outputs == []:
        return dict.fromkeys(names, all_binary)
    if not isinstance(outputs, list):
        refuse(f"'outputs' is {shown(outputs)}; it must be a list")
    wanted = {}
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in names:
            refuse(f"unexpected inference output {shown(name)} for model '{model.name}'")
        parameters = read_parameters(output.get("parameters", {}))
        for unsupported in ("classification", "shared_memory_region"):
            if unsupported in parameters:
                refuse(f"output '{name}': {unsupported} is not supported")
        wanted[name] = bool(parameters.get("binary_data", all_binary))
    return wanted


def read_id(body: Mapping[str, Any]) -> str:
    """The `id` of a request, which its answer repeats.

    Raises:
        Refusal: 400 not a string.
    """
    found = body["id"]
    if not isinstance(found, str):
        refuse(f"'id' is {shown(found)}; it must be a string")
    check_text("'id'", found)
    return found


def read_parameters(parameters: object) -> Mapping[str, Any]:
    """The parameters of a request or of a tensor in it.

    Raises:
        Refusal: 400 a value that the protocol does not know.
    """
    if not isinstance(parameters, dict):
        refuse(f"'parameters' is {shown(parameters)}; it must be an object")
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            refuse(
                f"parameter {shown(name)} has invalid type. It should be either 'int', 'bool', "
                "'double' or 'string'."
            )
    for name in ("binary_data_output", "binary_data"):
        if not isinstance(parameters.get(name, False), bool):
            refuse(f"parameter '{name}' is {shown(parameters[name])}; it must be true or false")
    return parameters


def timeout_of(parameters: Mapping[str, Any]) -> float | None:
    """Seconds that the parameter `timeout` (microseconds) leaves; None without one.

    Raises:
        Refusal: 400 not a positive integer.
    """
    timeout = parameters.get("timeout")
    if timeout is None:
        return None
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 < timeout < 2**63:
        refuse(f"parameter 'timeout' is {shown(timeout)}; it must be microseconds, above 0")
    return timeout / 1e6


def count_tokens(service: Service, results: list[Any]) -> None:
    """Add what was written to the metrics."""
    written = [one for one in results if isinstance(one, Written)]
    service.metrics.tokens.add(sum(len(one.ids) + one.complete for one in written))
