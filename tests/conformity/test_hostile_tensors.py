"""The binary protocol in wrong hands: every request is answered, soon, and costs little memory."""

import json
import struct
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformity.victim import MEGABYTES, Victim
from tests.serving.client import INFER, Answer, ask, binary_text, element, framed, tensor, text
from tests.serving.triton_requests import GENERATE

HEADER = "Inference-Header-Content-Length"
SECONDS = 10.0
"""For an answer, on a machine that does other things too."""
REFUSED = range(400, 500)
shared = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def put(server: Victim, body: bytes, path: str = INFER, **headers: str) -> Answer:
    """An answer in time, of JSON, and in words where it refuses."""
    began = time.monotonic()
    answer = ask(server.port, path, body, headers=headers)
    assert time.monotonic() - began < SECONDS
    if answer.status != 200:
        assert answer.status in REFUSED, answer
        assert 0 < len(answer.error) < 1000 and "Traceback" not in answer.error
    return answer


def put_binary(server: Victim, body: bytes, length: object) -> Answer:
    return put(server, body, **{HEADER: str(length)})


# What a tensor may say of itself: mostly nonsense, sometimes sense.
NUMBERS = st.one_of(
    st.integers(-2, 12),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
)
NAMES = st.one_of(
    st.sampled_from(["text", "seed", "temperature", "beam", "noise", "top_k", "zz", ""]),
    st.text(max_size=5),
    st.none(),
    st.integers(),
)
DATATYPES = st.one_of(
    st.sampled_from(["BYTES", "INT64", "FP32", "BOOL", "INT32", "FP16", "bytes", ""]), st.none()
)
SHAPES = st.one_of(st.just([1, 1]), st.just([2, 1]), st.lists(NUMBERS, max_size=4), NUMBERS)
DATA = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=8)), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
PARAMETERS = st.one_of(
    st.fixed_dictionaries({"binary_data_size": NUMBERS}),
    st.dictionaries(st.text(max_size=4), DATA, max_size=2),
    NUMBERS,
)
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "datatype": DATATYPES,
        "shape": SHAPES,
        "data": DATA,
        "parameters": PARAMETERS,
    },
)
OUTPUTS = st.fixed_dictionaries({}, optional={"name": NAMES, "parameters": PARAMETERS})
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.one_of(st.lists(st.one_of(INPUTS, st.just(text(["a"]))), max_size=4), DATA)},
    optional={
        "id": st.one_of(st.text(max_size=4), NUMBERS),
        "outputs": st.one_of(st.lists(OUTPUTS, max_size=3), DATA),
        "parameters": PARAMETERS,
    },
)


@shared
@given(head=REQUESTS, blob=st.binary(max_size=48), length=st.one_of(st.none(), NUMBERS))
def test_tensors_that_say_anything(
    server: Victim, head: dict[str, Any], blob: bytes, length: object
) -> None:
    content = json.dumps(head).encode()
    shown = len(content) if length is None else length
    # A header holds latin-1 without line ends; anything else never leaves the client.
    shown = "".join(c for c in str(shown) if " " < c < "\x7f")
    put_binary(server, content + blob, shown)


@shared
@given(data=st.data())
def test_a_sound_request_with_some_bytes_changed(server: Victim, data: st.DataObject) -> None:
    seed = {"name": "seed", "datatype": "INT64", "shape": [2, 1]}
    head = binary_text(11, [2, 1])
    head["inputs"].append({**seed, "parameters": {"binary_data_size": 16}})
    sound, headers = framed(head, element(b"ab") + element(b"c") + struct.pack("<2q", 3, -4))
    changed = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    answer = put(server, bytes(changed[:end]), **headers)
    if answer.status == 200:
        assert [len(x["data"]) for x in answer.json["outputs"][:1]] == [2]


@shared
@given(
    path=st.sampled_from(
        [GENERATE, "/v1/paraphrase", "/v1/score", "/v1/interpolate", "/v1/sample"]
    ),
    body=st.dictionaries(
        st.sampled_from(
            ["text", "texts", "a", "b", "n", "steps", "seed", "temperature", "zz", "id"]
        ),
        DATA,
        max_size=5,
    ),
)
def test_fields_that_hold_anything(server: Victim, path: str, body: dict[str, Any]) -> None:
    put(server, json.dumps(body).encode(), path)


MANY = 1_000_000


def many(item: bytes, count: int, before: bytes = b"[", after: bytes = b"]") -> bytes:
    return before + b",".join([item] * count) + after


def huge_requests() -> dict[str, tuple[bytes, str | None]]:
    """Name -> body and length of its JSON part; each is near the limit of what is taken."""
    one = json.dumps(text(["a"])).encode()
    numbers = [2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**64]
    zeros = bytes((MEGABYTES - 1) << 20)

    def binary(shape: list[int], blob: bytes, **more: object) -> tuple[bytes, str]:
        head = binary_text(len(blob), shape)
        body, headers = framed({**head, **more}, blob)
        return body, headers[HEADER]

    def integers(shape: list[int], blob: bytes) -> tuple[bytes, str]:
        size = {"binary_data_size": len(blob)}
        wide = {"name": "seed", "datatype": "INT64", "shape": shape, "parameters": size}
        body, headers = framed({"inputs": [text(["a"]), wide]}, blob)
        return body, headers[HEADER]

    found: dict[str, tuple[bytes, str | None]] = {
        "inputs": (b'{"inputs":' + many(b"{}", MANY) + b"}", None),
        "sound inputs": (b'{"inputs":' + many(one, 60_000) + b"}", None),
        "outputs": (b'{"inputs":[' + one + b'],"outputs":' + many(b"{}", MANY) + b"}", None),
        "the same output": (
            b'{"inputs":[' + one + b'],"outputs":' + many(b'{"name":"text"}', 400_000) + b"}",
            None,
        ),
        "data": (json.dumps({"inputs": [text(["a"] * MANY)]}).encode(), None),
        "data for one": (json.dumps({"inputs": [text(["a"] * MANY, [1, 1])]}).encode(), None),
        "axes": (json.dumps({"inputs": [text(["a"], [1] * MANY)]}).encode(), None),
        "keys": (b"{" + b",".join(b'"%d":1' % n for n in range(500_000)) + b"}", None),
        "parameters": (
            b'{"parameters":{' + b",".join(b'"%d":1' % n for n in range(500_000)) + b"}}",
            None,
        ),
        "digits": (b'{"inputs":' + b"9" * (7 << 20) + b"}", None),
        "a number with digits": (
            json.dumps({"inputs": [text(["a"]), tensor("seed", "INT64", [1])]})
            .encode()
            .replace(b"[1]", b"[1" + b"0" * 4000 + b"]"),
            None,
        ),
        "lists": (b"[" * (4 << 20) + b"]" * (4 << 20), None),
        "objects": (b'{"a":' * (1 << 20) + b"1" + b"}" * (1 << 20), None),
        "an id": (b'{"id":"' + b"i" * (7 << 20) + b'","inputs":[' + one + b"]}", None),
        "a text": (json.dumps({"inputs": [text(["a" * (7 << 20)])]}).encode(), None),
        "a name": (json.dumps({"inputs": [text(["a"], name="n" * (7 << 20))]}).encode(), None),
        "escapes": (json.dumps({"inputs": [text(["\U0001f642" * 600_000])]}).encode(), None),
        "JSON": (b'{"a":"' + b"x" * (9 << 20) + b'"}', None),
        "empty texts": binary([len(zeros) // 4, 1], zeros),
        "empty texts for one": binary([1, 1], zeros),
        "a text in bytes": binary([1, 1], element(b"a" * len(zeros))),
        "integers": integers([len(zeros) // 8, 1], zeros),
        "integers for one": integers([1, 1], zeros),
        "a header of it all": (zeros, str(len(zeros))),
    }
    for number in numbers:
        found[f"shape {number}"] = binary([number, 1], element(b"a"))
        found[f"shape 2 x {number}"] = integers([2, number], bytes(8))
        size = json.dumps(binary_text(number)).encode()
        found[f"size {number}"] = (size + element(b"a"), str(len(size)))
        found[f"header {number}"] = (size, str(number))
    return found


HUGE = huge_requests()
# An output that is named often is one output, as Triton has it; so has an id no limit of its own.
SOUND = {"the same output", "an id"}


@pytest.mark.parametrize("name", HUGE)
def test_huge_requests(server: Victim, name: str) -> None:
    body, length = HUGE[name]
    answer = put(server, body) if length is None else put_binary(server, body, length)
    assert answer.status in ((200,) if name in SOUND else (400, 413))
    server.assert_well()
    assert server.peak_megabytes < 700


def test_huge_requests_leave_nothing_behind(server: Victim) -> None:
    rounds = []
    for _ in range(4):
        for name in ("inputs", "empty texts", "a text in bytes", "JSON", "keys"):
            body, length = HUGE[name]
            put(server, body) if length is None else put_binary(server, body, length)
        rounds.append(server.megabytes)
    assert rounds[-1] < rounds[1] + 40


@shared
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.booleans())
def test_texts_come_back_as_they_were(server: Victim, texts: list[str], binary: bool) -> None:
    outputs = [{"name": "text"}]
    if binary:
        blob = b"".join(element(one.encode()) for one in texts)
        head = {**binary_text(len(blob), [len(texts), 1]), "outputs": outputs}
        body, headers = framed(head, blob)
        answer = put(server, body, **headers)
    else:
        answer = put(server, json.dumps({"inputs": [text(texts)], "outputs": outputs}).encode())
    if any(word in one for one in texts for word in ("boom", "long")):
        return  # what the stub fails at
    assert answer.json["outputs"][0]["data"] == [f"{one}|0|0|False" for one in texts]
