"""How an answer of ours may differ from Triton's, and whether it does."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.serving.client import Answer

HEADER = "inference-header-content-length"


@dataclass(frozen=True)
class Exchange:
    """What came back for a request, without what differs from run to run.

    Attributes:
        status: of HTTP.
        content_type: without its parameters; empty: none, or no body.
        header: Inference-Header-Content-Length.
        body: its bytes.
    """

    status: int
    content_type: str
    header: str | None
    body: bytes

    @classmethod
    def of(cls, answer: Answer) -> "Exchange":
        """The exchange that ended with an answer."""
        content_type = answer.headers.get("content-type", "").partition(";")[0]
        header = answer.headers.get(HEADER)
        return cls(answer.status, content_type if answer.body else "", header, answer.body)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Exchange":
        """The one that `record` made."""
        fields = dict(record)
        coded = fields.pop("base64", None)
        body = fields.pop("body").encode() if coded is None else base64.b64decode(coded)
        return cls(**fields, body=body)

    def record(self) -> dict[str, Any]:
        """As JSON; what differs from run to run (times, a model's trace) is left out."""
        found = {name: value for name, value in vars(self).items() if name != "body"}
        try:
            words = self.body.decode()
        except UnicodeDecodeError:
            return {**found, "base64": base64.b64encode(self.body).decode()}
        words = re.sub(r'"(ns|last_inference)":\d+', r'"\1":0', words)
        return {**found, "body": re.sub(r'(\\n)*At:\\n.*"', '"', words)}

    @property
    def parts(self) -> tuple[Any, bytes]:
        """JSON and bytes; the data of each event of a stream stands in a list."""
        if self.content_type == "text/event-stream":
            events = self.body.decode().split("\n\n")[:-1]
            return [json.loads(event.removeprefix("data: ")) for event in events], b""
        length = len(self.body) if self.header is None else int(self.header)
        head = self.body[:length]
        try:
            return json.loads(head) if head else None, self.body[length:]
        except ValueError:
            return head.decode(errors="replace"), self.body[length:]

    @property
    def words(self) -> str | None:
        """Of an error."""
        found, _ = self.parts
        return found.get("error") if isinstance(found, dict) else None


def differences(name: str, ours: Exchange, theirs: Exchange) -> list[str]:
    """In what an answer of ours differs; the words of an error are free, if there are some.

    Args:
        name: of the case: some answers tell what the server is, not what it did.
        ours: our answer.
        theirs: Triton's.
    """
    found = []
    if ours.status != theirs.status:
        found.append(f"status {ours.status}, Triton {theirs.status}")
    # Triton types many of its errors text/plain, though they are JSON.
    types = {ours.content_type, theirs.content_type}
    if len(types) > 1 and not (ours.words and types == {"application/json", "text/plain"}):
        found.append(f"type {ours.content_type or 'none'}, Triton {theirs.content_type or 'none'}")
    if ours.status == theirs.status == 200:
        if (ours.header is None) != (theirs.header is None):
            found.append(f"{HEADER} {ours.header}, Triton {theirs.header}")
        ours_json, ours_bytes = ours.parts
        theirs_json, theirs_bytes = theirs.parts
        if not _fits(name, ours_json, theirs_json):
            found.append("JSON")
        if ours_bytes != theirs_bytes:
            found.append("bytes of tensors")
    elif ours.status == theirs.status and (ours.words is None) != (theirs.words is None):
        found.append(
            "an error without words" if ours.words is None else "words where Triton has none"
        )
    return found


def _fits(name: str, ours: Any, theirs: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if name in ("model", "model, version"):
        # Ours takes more tensors than the recorded one, and is another platform's.
        return set(ours) == set(theirs) and all(
            tensor in ours[key] for key in ("inputs", "outputs") for tensor in theirs[key]
        )
    if name.startswith("index"):
        return [one for one in ours if one["name"] == "model"] == list(theirs)
    if name == "statistics of all":
        ours = {"model_stats": ours["model_stats"][:1]}
    if name.startswith(("server", "config", "statistics")):
        return is_part_of(ours, theirs)
    return bool(ours == theirs)


def is_part_of(ours: Any, theirs: Any) -> bool:  # noqa: ANN401 (any JSON value)
    """Whether the keys of `ours` are among those of `theirs`, with values of the same types."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(key in theirs and is_part_of(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return not theirs or all(any(is_part_of(x, y) for y in theirs) for x in ours)
    return type(ours) is type(theirs)


MALFORMED = "a malformed request is the client's fault: 400; Triton says 500"
_STRICT = "refused, with words that say what to send"
_JSON = "RFC 8259 has no such number, and leaves the rest open; Python's reading of it"
_PROTOCOL = "as the protocol's text says"
DELIBERATE = {
    "brotli": "415 is HTTP's status for it",
    "two encodings": "415 is HTTP's status for it",
    "version 01": "versions are names here",
    "a version too large": "versions are names here",
    "a name in percents": "addresses are decoded (RFC 3986)",
    "a mark of byte order": _JSON,
    "keys twice": _JSON,
    "inputs twice": _JSON,
    "float not a number": _JSON,
    "float infinite": _JSON,
    "id empty": "the answer repeats the id that was given; Triton takes an empty one for none",
    "outputs null": "null is taken for absent",
    "classification": "not offered; this Triton crashes",
    "shared memory": "not offered",
    "an input in shared memory": "not offered",
    "binary_data_output, one as JSON": f"{_PROTOCOL}: it is the default of every output",
    "parameter reserved": "nothing is reserved here",
    "an option without a text": "a text is needed; Triton counts inputs, and calls the model",
    "data a word": "one value stands for a list of one",
    "generate, a list": _STRICT,
    "generate, unknown field": _STRICT,
    "generate, the model fails": "a fault of the server is 500, as in infer",
    "stream, the model fails": "nothing is sent yet: an answer with a status of its own",
    "stream": "an event for every part of the text; Triton's model, not decoupled, gives one",
}
"""Case -> why ours differs. Beside these, malformed requests are 400 where Triton says 500."""


def reason(name: str, ours: Exchange, theirs: Exchange) -> str | None:
    """Why an answer differs on purpose; None: it does not, or not on purpose."""
    if name in DELIBERATE:
        return DELIBERATE[name]
    # "the model fails" is a 500 in both.
    return MALFORMED if (ours.status, theirs.status) == (400, 500) else None
