"""One step of decoding behind a latent prefix: rotate, append to the caches, attend.

What `prefix_attention` computes for the last of the steps so far, with the caches updated in place. The position is a
tensor on the device, so that one captured CUDA graph serves every step. There is no gradient, and no vmap: B is the
batch.
"""

import functools
import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.ops.dispatch import Path, forced, record
from seqvae.ops.library import define

_OP = "decode_attention"
_Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
_Extras = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def _attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    prefix_key: Tensor | None,
    prefix_value: Tensor | None,
    seen: Tensor | None,
) -> Tensor:
    """Softmax attention in the dtype of `query` [B, H, D]; `seen` [1 or B, C] chooses among the keys."""
    if prefix_key is not None and prefix_value is not None:
        keys, values = torch.cat([prefix_key, keys], 2), torch.cat([prefix_value, values], 2)
        seen = None if seen is None else F.pad(seen, (prefix_key.shape[2], 0), value=True)
    # Autocast reaches into operators and would cast what is float32 here for a reason.
    with torch.autocast(query.device.type, enabled=False):
        mixed = F.scaled_dot_product_attention(
            query[:, :, None],
            keys.to(query.dtype),
            values.to(query.dtype),
            attn_mask=None if seen is None else seen[:, None, None],
        )
    return mixed[:, :, 0].contiguous()


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    position: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    cosine: Tensor | None = None,
    sine: Tensor | None = None,
) -> Tensor:
    """The definition of `decode_attention`, in float32 at least; the host reads nothing."""
    batch, capacity, device = len(query), key_cache.shape[2], query.device
    precision = torch.promote_types(query.dtype, torch.float32)
    limit = capacity if cosine is None else min(capacity, len(cosine))
    inside = (position >= 0) & (position < limit)
    step = position.clamp(0, limit - 1)
    turned, new_key = query.to(precision), key.to(precision)
    if cosine is not None and sine is not None:
        tables = cosine[step].to(precision)[:, None], sine[step].to(precision)[:, None]
        turned, new_key = _rotate(turned, *tables), _rotate(new_key, *tables)
    row, column = torch.arange(batch, device=device), step.expand(batch)
    for cache, new in ((key_cache, new_key), (value_cache, value)):
        # A position outside the cache writes back what is there.
        kept = torch.where(inside[:, None, None], new.to(cache.dtype), cache[row, :, column])
        cache[row, :, column] = kept
    seen = torch.arange(capacity, device=device) <= step[:, None]
    # Later slots may hold anything, and 0 * NaN is NaN.
    later = ~seen[:, None, :, None]
    keys, values = key_cache.masked_fill(later, 0), value_cache.masked_fill(later, 0)
    out = _attend(turned, keys, values, prefix_key, prefix_value, seen)
    return out.masked_fill(~inside[:, None, None], float("nan")).to(query.dtype)


def _at_one_position(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    position: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    cosine: Tensor | None = None,
    sine: Tensor | None = None,
) -> Tensor:
    """`reference` where the host knows the position and all rows share it: 0.2 ms and not 1.4 on a CPU."""
    step = int(position)
    precision = torch.promote_types(query.dtype, torch.float32)
    turned, new_key = query.to(precision), key.to(precision)
    if cosine is not None and sine is not None:
        tables = cosine[step].to(precision), sine[step].to(precision)
        turned, new_key = _rotate(turned, *tables), _rotate(new_key, *tables)
    key_cache[:, :, step], value_cache[:, :, step] = new_key, value
    keys, values = key_cache[:, :, : step + 1], value_cache[:, :, : step + 1]
    return _attend(turned, keys, values, prefix_key, prefix_value, None).to(query.dtype)


@functools.cache
def _kernels() -> ModuleType | None:
    try:
        from seqvae.kernels import decode_attention
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        return None
    return decode_attention


@functools.cache
def _architecture(device: torch.device) -> int:
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _refusal(inputs: _Inputs, extras: _Extras) -> str | None:
    """Why the kernels do not serve these tensors, or None."""
    kernels, query = _kernels(), inputs[0]
    if kernels is None:
        return "triton is not installed"
    if query.dtype not in kernels.DTYPES:
        return f"no kernel for {query.dtype}"
    if query.shape[-1] not in kernels.HEAD_DIMENSIONS:
        return f"no kernel for heads of {query.shape[-1]}, only {kernels.HEAD_DIMENSIONS}"
    for rows in (*inputs[3:5], *extras[:2]):
        if rows is not None and rows.stride(-1) != 1:
            return "a cache or prefix is not contiguous in its last dimension"
        if rows is not None and rows.shape[2] * rows.stride(2) >= 2**31:
            return "the rows of one head span 2^31 numbers"
    return None


def _choose(inputs: _Inputs, extras: _Extras) -> tuple[Path, str]:
    """Which path, and why."""
    asked, device = forced(), inputs[0].device
    if asked == "reference":
        return "reference", "asked for"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1" and asked == "triton"
    if device.type == "cpu" and not interpreted:
        shared = inputs[5].numel() == 1 and asked in (None, "sdpa")
        why = "CPU" if asked in (None, "sdpa") else f"no {asked} for the CPU"
        return ("sdpa", f"{why}, one position") if shared else ("reference", why)
    if refusal := _refusal(inputs, extras):
        return "reference", refusal
    if asked not in (None, "triton", "aot"):
        return "reference", f"there is no {asked} for {device.type}"
    kernels = _kernels()
    assert kernels is not None
    arch = _architecture(device)
    try:
        ready = kernels.is_compiled(inputs[0], inputs[3], extras[0], arch)
        ready = ready and device.type == "cuda"
    except KeyError as error:
        return "reference", str(error.args[0])
    if ready and asked != "triton":
        return "aot", f"compiled for sm_{arch}"
    if asked == "aot":
        return "reference", f"no library with this kernel for sm_{arch}"
    return "triton", "interpreted" if interpreted else f"sm_{arch}"


def _run(inputs: _Inputs, extras: _Extras) -> Tensor:
    path, reason = _choose(inputs, extras)
    record(_OP, path, reason)
    if path == "reference":
        return reference(*inputs, *extras)
    if path == "sdpa":
        return _at_one_position(*inputs, *extras)
    kernels = _kernels()
    assert kernels is not None
    query, key, value, *rest = inputs
    same = key.stride() == value.stride() == query.stride() and query.stride(-1) == 1
    if not same:
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    prefix_key, prefix_value, *tables = extras
    tables = [table if table is None else table.float().contiguous() for table in tables]
    arch = _architecture(query.device)
    out: Tensor = kernels.decode_attention(
        path, query, key, value, *rest, prefix_key, prefix_value, *tables, arch=arch
    )
    return out


def _cpu(*arguments: Any) -> Tensor:  # noqa: ANN401
    position, key_cache, cosine = arguments[5], arguments[3], arguments[8]
    limit = key_cache.shape[2] if cosine is None else min(key_cache.shape[2], len(cosine))
    steps = position.tolist()
    if steps and not 0 <= min(steps) <= max(steps) < limit:
        raise IndexError(f"position {steps} is outside the {limit} steps of the cache")
    return _run(arguments[:6], arguments[6:])


def _cuda(*arguments: Any) -> Tensor:  # noqa: ANN401
    return _run(arguments[:6], arguments[6:])


def _fake(query: Tensor, *rest: Any) -> Tensor:  # noqa: ANN401
    return query.new_empty(query.shape)


_operator = define(
    f"{_OP}(Tensor query, Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, "
    "Tensor position, Tensor? prefix_key, Tensor? prefix_value, Tensor? cosine, Tensor? sine) "
    "-> Tensor",
    cpu=_cpu,
    cuda=_cuda,
    fake=_fake,
)


def _check(inputs: _Inputs, extras: _Extras) -> None:
    query, key, value, key_cache, value_cache, position = inputs
    prefix_key, prefix_value, cosine, sine = extras
    if query.dim() != 3 or key.shape != query.shape or value.shape != query.shape:
        shapes = [tuple(x.shape) for x in (query, key, value)]
        raise ValueError(f"query, key and value must be [B, H, D] alike, got {shapes}")
    batch, heads, width = query.shape
    for name, cache in (("key_cache", key_cache), ("value_cache", value_cache)):
        if cache.dim() != 4 or cache.shape != key_cache.shape or cache.shape[2] < 1:
            raise ValueError(f"{name} must be [B, H, C, D] with C >= 1, got {tuple(cache.shape)}")
        if (*cache.shape[:2], cache.shape[3]) != (batch, heads, width):
            raise ValueError(f"{name} {tuple(cache.shape)} does not fit query {tuple(query.shape)}")
        if any(step == 0 and n > 1 for step, n in zip(cache.stride(), cache.shape, strict=True)):
            raise ValueError(f"{name} has expanded axes: two steps would share memory")
    if position.dtype != torch.int64 or position.dim() != 1 or len(position) not in (1, batch):
        got = f"{position.dtype} {tuple(position.shape)}"
        raise ValueError(f"position must be int64 [1] or [{batch}], got {got}")
    if (prefix_key is None) != (prefix_value is None) or (cosine is None) != (sine is None):
        raise ValueError("prefix_key goes with prefix_value, and cosine with sine")
    if prefix_key is not None and prefix_value is not None:
        expected = (batch, heads, prefix_key.shape[2] if prefix_key.dim() == 4 else -1, width)
        if prefix_key.shape != expected or prefix_value.shape != expected:
            shapes = [tuple(prefix_key.shape), tuple(prefix_value.shape)]
            raise ValueError(f"prefixes must be [{batch}, {heads}, P, {width}], got {shapes}")
    if cosine is not None and sine is not None:
        shapes = [tuple(cosine.shape), tuple(sine.shape)]
        table = (len(cosine) if cosine.dim() == 2 else 0, width // 2)
        if width % 2 or table[0] < 1 or cosine.shape != table or sine.shape != table:
            raise ValueError(f"rotary tables must be [L, {width} / 2], L >= 1, got {shapes}")
    rows = [x for x in (*inputs[:5], prefix_key, prefix_value) if x is not None]
    if any(x.dtype != query.dtype for x in rows) or not query.is_floating_point():
        raise TypeError(f"one float dtype is needed, got {[str(x.dtype) for x in rows]}")
    if any(x is not None and x.device != query.device for x in (*inputs, *extras)):
        raise ValueError("all tensors must be on one device")
    if torch.is_grad_enabled() and any(x.requires_grad for x in rows):
        raise ValueError("decode_attention has no gradient: call it under torch.no_grad()")


def decode_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    position: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    *,
    rotary: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Append one step to the caches and attend from it over the prefix and all steps so far.

    Query and key are rotated at `position` (Su et al. 2021, arXiv 2104.09864, eq. 34, half-split layout); the
    rotated key and the value are written into the caches there, and nothing else of the caches changes or, past
    `position`, is read.

    Args:
        query: shape [B, H, D].
        key: shape [B, H, D].
        value: shape [B, H, D].
        key_cache: shape [B, H, C, D], any strides; changed in place.
        value_cache: shape [B, H, C, D]; changed in place.
        position: steps that came before, int64, shape [1] for all rows or [B], on the device of the others.
        prefix_key: shape [B, H, P, D], not rotated, seen always; or None.
        prefix_value: shape [B, H, P, D], or None.
        rotary: cosine and sine tables, [L, D / 2] each; None rotates nothing.

    Returns:
        shape [B, H, D]. A position outside the cache (or the tables) is an IndexError on a CPU; a GPU, which
        the host does not wait for, writes nothing and returns NaN for the row.

    Raises:
        ValueError: shapes, devices or strides do not fit, or a gradient is asked for.
        TypeError: the tensors have several dtypes.
        IndexError: on a CPU, a position is outside the cache or the tables.
    """
    inputs = (query, key, value, key_cache, value_cache, position)
    extras = (prefix_key, prefix_value, *(rotary if rotary is not None else (None, None)))
    _check(inputs, extras)
    out: Tensor = _operator(*inputs, *extras)
    return out
