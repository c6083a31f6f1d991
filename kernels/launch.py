"""The launch table: how many elements a program takes, and with how many warps and stages.

One JSON file per operation in ``kernels/launch_table/`` is the only place where such numbers stand; the just-in-time
path and the ahead-of-time build both read it. A row applies to sizes up to ``size`` (what size means is the
operation's: the latent dimension, the sequence length), to one dtype or all ("*"), and to GPUs of compute
capability ``arch`` (80, 90, ...) or newer.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("launch_table")


@dataclass(frozen=True)
class Launch:
    """One row.

    Attributes:
        size: the largest size it serves.
        dtype: "bf16", "fp16", "fp32", or "*" for all.
        arch: the oldest compute capability it serves, e.g. 80.
        blocks: the kernel's block sizes by constexpr name.
        warps: warps of a program.
        stages: stages of the software pipeline.
    """

    size: int
    dtype: str
    arch: int
    blocks: dict[str, int]
    warps: int
    stages: int


@functools.cache
def table(op: str) -> tuple[Launch, ...]:
    """All rows of an operation, smallest size first, newest architecture first.

    Raises:
        KeyError: there is no table for ``op``.
        ValueError: a row is malformed or two rows serve the same case.
    """
    path = FOLDER / f"{op}.json"
    if not path.is_file():
        raise KeyError(f"no launch table for {op!r} in {FOLDER.name}/")
    try:
        rows = [Launch(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    keys = [(row.size, row.dtype, row.arch) for row in rows]
    if len(set(keys)) < len(keys):
        raise ValueError(f"{path.name}: two rows serve the same size, dtype and arch")
    # A row for one dtype comes before the row for all.
    return tuple(sorted(rows, key=lambda row: (row.size, -row.arch, row.dtype == "*")))


@functools.cache
def lookup(op: str, dtype: str, size: int, arch: int) -> Launch:
    """The row for a case.

    Args:
        op: e.g. "gaussian_latent_forward".
        dtype: "bf16", "fp16" or "fp32".
        size: what the table's ``size`` counts for this operation.
        arch: compute capability of the GPU, e.g. 90.

    Raises:
        KeyError: no row serves it; the message says what the table does serve.
    """
    for row in table(op):
        if size <= row.size and arch >= row.arch and row.dtype in (dtype, "*"):
            return row
    served = ", ".join(f"size <= {r.size} {r.dtype} sm_{r.arch}+" for r in table(op))
    raise KeyError(f"{op}: no launch for size {size}, {dtype}, sm_{arch}; the table has {served}")
