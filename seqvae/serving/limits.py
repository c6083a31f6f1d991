"""What a server accepts: how much, how many, for how long."""

import dataclasses
import json
import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from seqvae.errors import UserError
from seqvae.serving.refusal import Refusal, refuse

MAX_DEPTH = 32
"""Lists and objects within each other in a JSON request; ours have four."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what one client, and all together, may ask for.

    Raises:
        UserError: a value is out of its range.
    """

    max_batch: int = 32
    """Rows (texts to write) in one call of the model, and in one request."""
    max_queue: int = 64
    """Rows that may wait; requests beyond are refused at once."""
    window_ms: float = 2.0
    """Wait for further requests before a batch starts, where several clients ask; up to ten times
    that where a call takes long. A lone client never waits."""
    timeout: float = 30.0
    """Seconds from a request's last byte to its answer; then 504."""
    overload_status: Literal[503, 429] = 503
    """What a full queue answers, with Retry-After."""
    max_streams: int = 4
    """Texts streamed at the same time; each is a call of its own beside the batches."""
    max_text: int = 20_000
    """Characters of one text."""
    max_samples: int = 256
    """Samples of z for one score."""
    max_steps: int = 64
    """Texts of one walk between two texts; `max_batch` bounds it too."""
    max_seconds: float = 600.0
    """Seconds of one sound; it is computed in pieces of 30 s, each of which must meet `timeout`."""
    max_body_mb: float = 64.0
    """Megabytes (2^20) of a request, after decompression too."""
    max_bodies_mb: float = 256.0
    """Megabytes of all bodies that are being received, and of all sounds being converted; beyond,
    requests are answered 503."""
    max_json_mb: float = 8.0
    """Megabytes of its JSON part."""
    max_header_kb: int = 64
    """Kilobytes of a request's line and headers."""
    header_seconds: float = 15.0
    """A connection that has not sent a whole request head by then is closed."""
    body_seconds: float = 20.0
    """A request whose body has not come by then is answered 408."""
    keep_alive_seconds: int = 75
    """How long an idle connection stays; above the idle time of usual load balancers (60)."""
    max_connections: int = 1000
    """Open connections; further ones are answered 503."""

    def __post_init__(self) -> None:
        rules = {
            "max_batch": (1 <= self.max_batch <= 4096, "1 to 4096"),
            "max_queue": (self.max_batch <= self.max_queue <= 1 << 20, "max_batch to 2^20"),
            "window_ms": (0 <= self.window_ms <= 1000, "0 to 1000"),
            "timeout": (0 < self.timeout <= 86_400, "above 0, at most 86400"),
            "overload_status": (self.overload_status in (503, 429), "503 or 429"),
            "max_streams": (0 <= self.max_streams <= 256, "0 to 256"),
            "max_text": (1 <= self.max_text <= 1 << 24, "1 to 2^24"),
            "max_samples": (1 <= self.max_samples <= 1 << 16, "1 to 65536"),
            "max_steps": (2 <= self.max_steps <= 4096, "2 to 4096"),
            "max_seconds": (1 <= self.max_seconds <= 86_400, "1 to 86400"),
            "max_body_mb": (0 < self.max_body_mb <= 4096, "above 0, at most 4096"),
            "max_bodies_mb": (
                self.max_body_mb <= self.max_bodies_mb <= 1 << 20,
                "max_body_mb to 2^20",
            ),
            "max_json_mb": (0 < self.max_json_mb <= 1024, "above 0, at most 1024"),
            "max_header_kb": (4 <= self.max_header_kb <= 1024, "4 to 1024"),
            "header_seconds": (0 < self.header_seconds <= 3600, "above 0, at most 3600"),
            "body_seconds": (0 < self.body_seconds <= 3600, "above 0, at most 3600"),
            "keep_alive_seconds": (1 <= self.keep_alive_seconds <= 3600, "1 to 3600"),
            "max_connections": (1 <= self.max_connections <= 1 << 16, "1 to 65536"),
        }
        assert rules.keys() == {field.name for field in dataclasses.fields(self)}
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise UserError(f"limits: {name} is {getattr(self, name)!r}; it must be {wanted}")

    @property
    def max_body(self) -> int:
        """Bytes of a request."""
        return math.floor(self.max_body_mb * 2**20)

    @property
    def max_json(self) -> int:
        """Bytes of a request's JSON part."""
        return min(self.max_body, math.floor(self.max_json_mb * 2**20))


def read_json(content: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Refusal: 413 too large; 400 not JSON, not an object, or nested too deep.
    """
    if len(content) > limits.max_json:
        refuse(f"the JSON has {len(content):,} bytes; at most {limits.max_json:,}", 413)
    try:
        found = json.loads(content.decode(), parse_constant=_not_a_number)
    except UnicodeDecodeError as error:
        refuse(f"the request is not UTF-8: byte {error.start}")
    except RecursionError:
        refuse(f"the JSON is nested more than {MAX_DEPTH} deep")
    except ValueError as error:  # json.JSONDecodeError, or a number of thousands of digits
        refuse(f"failed to parse the request JSON: {str(error)[:100]}")
    if not isinstance(found, dict):
        refuse("the request must be a JSON object, {...}")
    # Most requests have fewer brackets than the least that could be too deep.
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _depth_of(found) > MAX_DEPTH:
        refuse(f"the JSON is nested more than {MAX_DEPTH} deep")
    return found


def _not_a_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth_of(value: dict[str, Any]) -> int:
    """Depth of nesting, at most MAX_DEPTH + 1, without recursion."""
    level: list[Any] = [value]
    for depth in range(1, MAX_DEPTH + 1):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [x for values in inner for x in values if isinstance(x, list | dict)]
        if not level:
            return depth
    return MAX_DEPTH + 1


def decompressed(content: bytes | bytearray, encoding: str, limits: Limits) -> bytes:
    """Undo a `Content-Encoding`, stopping at the limit: a few bytes can stand for gigabytes.

    Raises:
        Refusal: 415 another encoding; 400 not of that encoding; 413 too large.
    """
    # 32: zlib or gzip, by the header; tritonclient's "deflate" is zlib.
    if encoding not in ("gzip", "deflate"):
        raise Refusal(
            415,
            f"Content-Encoding {encoding[:40]!r} is not known; gzip, deflate or none",
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    reader = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        found = reader.decompress(content, limits.max_body + 1)
    except zlib.error as error:
        refuse(f"the request is not {encoding}: {error}")
    if len(found) > limits.max_body or reader.unconsumed_tail:
        refuse(f"the request has more than {limits.max_body:,} bytes when decompressed", 413)
    if not reader.eof or reader.unused_data:
        refuse(f"the request is not one whole {encoding} stream")
    return found
