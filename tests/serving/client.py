"""The plainest client: one request on one connection."""

import http.client
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INFER = "/v2/models/model/infer"


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 (any JSON value)
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of a refusal."""
        found = self.json
        assert list(found) == ["error"], found
        return str(found["error"])


def ask(
    port: int,
    path: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
) -> Answer:
    """GET without a body, POST with one; what is not bytes goes as JSON."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(
            method or ("GET" if content is None else "POST"), path, content, dict(headers or {})
        )
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def text(values: list[Any], shape: list[int] | None = None, **more: object) -> dict[str, Any]:
    """An input `text` as JSON."""
    shape = [len(values), 1] if shape is None else shape
    return {"name": "text", "datatype": "BYTES", "shape": shape, "data": values, **more}


def tensor(name: str, datatype: str, values: list[Any]) -> dict[str, Any]:
    """An input with one column as JSON."""
    return {"name": name, "datatype": datatype, "shape": [len(values), 1], "data": values}


def framed(
    head: object, binary: bytes, length: object = None, **headers: str
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with binary tensors."""
    content = json.dumps(head).encode()
    shown = len(content) if length is None else length
    return content + binary, {"Inference-Header-Content-Length": str(shown), **headers}


def binary_text(size: object, shape: list[int] | None = None) -> dict[str, Any]:
    """The JSON part for an input `text` of so many bytes."""
    parameters = {"binary_data_size": size}
    shape = shape or [1, 1]
    return {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": shape, "parameters": parameters}]
    }


def element(value: bytes) -> bytes:
    """One element of a BYTES tensor."""
    return struct.pack("<I", len(value)) + value
