"""Attention over a sequence behind an always-visible latent prefix."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seqvae.kernels import attention_tiles
from seqvae.ops.attention_reference import attention_reference, rotated
from seqvae.ops.dispatch import forced, record
from seqvae.ops.prefix_operators import Tensors, architecture, fused_attention, interpreting

HALF = (torch.float16, torch.bfloat16)


class Route(NamedTuple):
    """A row of the table that says what a GPU runs; the first that applies is taken.

    Attributes:
        to: one tile, tiles, or torch's attention.
        keys: most keys, prefix and steps together; None for any number.
        heads: head dimensions.
        needs: applies to calls with one of these arguments; empty for all.
        why: the reason.
    """

    to: Literal["tile", "tiles", "sdpa"]
    keys: int | None
    heads: tuple[int, ...]
    needs: frozenset[str]
    why: str


_EVERY = frozenset[str]()
# Predicted from bytes, launches and machine code; `make bench-gpu` measures it.
ROUTES = (
    Route(
        to="tile",
        keys=144,
        heads=(32, 64, 128),
        needs=_EVERY,
        why="short: flash and efficient kernels are 1.1 to 4.7 times off the bandwidth limit here",
    ),
    Route(
        to="tiles",
        keys=1024,
        heads=(32, 64, 128),
        needs=frozenset({"lengths"}),
        why="lengths would be a dense mask, which flash kernels do not take",
    ),
    Route(
        to="tiles",
        keys=512,
        heads=(32, 64),
        needs=frozenset({"prefix", "rotary"}),
        why="a joined prefix or rotated copies would cost more than flash attention gains",
    ),
    Route(
        to="tiles",
        keys=256,
        heads=(128,),
        needs=frozenset({"prefix", "rotary"}),
        why="a joined prefix or rotated copies would cost more than flash attention gains",
    ),
    Route(to="sdpa", keys=None, heads=(32, 64, 128), needs=_EVERY, why="long: flash attention"),
)


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None,
    prefix_value: Tensor | None,
    lengths: Tensor | None,
    rotary: tuple[Tensor, Tensor] | None,
) -> None:
    if query.dim() != 4 or key.dim() != 4 or value.shape != key.shape:
        shapes = [tuple(x.shape) for x in (query, key, value)]
        raise ValueError(
            f"query must be [B, heads, T, D], key and value [B, heads, S, D]: {shapes}"
        )
    batch, heads, steps, width = query.shape
    if (key.shape[0], key.shape[1], key.shape[3]) != (batch, heads, width) or steps > key.shape[2]:
        raise ValueError(f"query {tuple(query.shape)} and key {tuple(key.shape)} do not fit")
    if (prefix_key is None) != (prefix_value is None):
        raise ValueError("prefix_key goes with prefix_value")
    for prefix in (prefix_key, prefix_value):
        if prefix is None or prefix_key is None:
            continue
        fits = prefix.dim() == 4 and prefix.shape == prefix_key.shape
        if not fits or (prefix.shape[0], prefix.shape[1], prefix.shape[3]) != (batch, heads, width):
            raise ValueError(
                f"prefixes must be [{batch}, {heads}, P, {width}] alike, got {tuple(prefix.shape)}"
            )
    if lengths is not None and (lengths.dim() != 1 or lengths.shape[0] != batch):
        raise ValueError(f"lengths must be [{batch}], got {tuple(lengths.shape)}")
    if lengths is not None and lengths.is_floating_point():
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    for table in () if rotary is None else rotary:
        if table.dim() != 2 or table.shape[0] < key.shape[2] or 2 * table.shape[1] != width:
            raise ValueError(
                f"rotary tables must be [>= {key.shape[2]}, {width} / 2], got {tuple(table.shape)}"
            )


def _refusal(query: Tensor, steps: int, prefix: int, tensors: Tensors) -> str | None:
    """Why no kernel takes these tensors, or None."""
    if query.shape[2] != steps:
        return "fewer queries than keys: a cache"
    if query.dtype not in (*HALF, torch.float32):
        return f"no kernel for {query.dtype}"
    if query.shape[3] not in attention_tiles.HEADS:
        return f"no kernel for heads of {query.shape[3]}, only {attention_tiles.HEADS}"
    if prefix > attention_tiles.MAX_PREFIX:
        return f"a prefix of {prefix}, kernels take {attention_tiles.MAX_PREFIX}"
    dtype, device = query.dtype, query.device
    for i, x in enumerate(tensors):
        if x is not None and i < 5 and x.dtype != dtype:
            return "several dtypes"
        if x is not None and x.device != device:
            return "several devices"
    return None


def route(tensors: Tensors) -> tuple[Literal["tile", "tiles", "sdpa"], str]:
    """What a GPU runs for these tensors, and why; tensors as `PrefixAttention` takes them."""
    query, key, _, prefix_key, _, lengths, cosine, _ = tensors
    steps, prefix = key.shape[2], 0 if prefix_key is None else prefix_key.shape[2]
    refusal = _refusal(query, steps, prefix, tensors)
    if refusal is not None:
        return "sdpa", refusal
    # A constant for the kernels, also where a compiler takes sizes for variables.
    head = next(head for head in attention_tiles.HEADS if query.shape[3] == head)
    size, arch = query.dtype.itemsize, architecture(query.device)
    given = {"lengths": lengths is not None, "prefix": prefix > 0, "rotary": cosine is not None}
    for row in ROUTES:
        if row.keys is not None and prefix + steps > row.keys:
            continue
        if head not in row.heads or (row.needs and not any(given[name] for name in row.needs)):
            continue
        if row.to == "tile" and attention_tiles.tile(steps, prefix, head, size, arch) is None:
            continue
        if row.to == "tiles" and not attention_tiles.is_tiled(steps, prefix, head, size, arch):
            continue
        return row.to, row.why
    raise AssertionError("the last row takes everything")


def _sdpa(tensors: Tensors, causal: bool) -> Tensor:
    """torch's attention on a GPU: the reference, with a flash kernel where the prefix allows one."""
    query, key, value, prefix_key, prefix_value, lengths, cosine, sine = tensors
    rotary = None if cosine is None or sine is None else (cosine, sine)
    joined = prefix_key is not None and prefix_value is not None
    # A mask in words; as an object it is more than the compiler takes.
    in_words = causal and lengths is None and not torch.compiler.is_compiling()
    if in_words and prefix_key is not None and prefix_value is not None:
        from torch.nn.attention.bias import causal_lower_right

        if rotary is not None:
            query, key = rotated(query, key, *rotary)
        key, value = torch.cat([prefix_key, key], 2), torch.cat([prefix_value, value], 2)
        seen = causal_lower_right(query.shape[2], key.shape[2])
        out: Tensor = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return out
    if lengths is None or joined:
        return attention_reference(*tensors[:5], causal=causal, lengths=lengths, rotary=rotary)
    # Some of its kernels return NaN for a row that sees nothing.
    some = lengths.clamp(min=1)
    out = attention_reference(*tensors[:5], causal=causal, lengths=some, rotary=rotary)
    return out.masked_fill((lengths < 1)[:, None, None, None], 0.0)


def _autocast(x: Tensor | None, device: str) -> Tensor | None:
    if x is None or x.dtype not in (*HALF, torch.float32):
        return x
    return x.to(torch.get_autocast_dtype(device))


def prefix_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor | None = None,
    prefix_value: Tensor | None = None,
    *,
    causal: bool = True,
    lengths: Tensor | None = None,
    rotary: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Softmax attention of every step over the prefix and the (earlier) steps.

    A CPU runs torch's attention. A GPU runs, by the first row of `ROUTES` that applies (keys: P + S):

    | keys | D | with | runs |
    |---|---|---|---|
    | <= 128 (and a prefix up to 144), fewer for D = 128, float32 and before sm_90 | 32, 64, 128 | any | one tile a head: backward in one launch, only the inputs saved |
    | <= 1024 | 32, 64, 128 | lengths | tiles: torch would need a dense mask |
    | <= 512 (D = 128: 256) | 32, 64, 128 | prefix or rotary | tiles: torch would join and copy |
    | any | any | | torch's attention |

    The tiled kernels take float16 and bfloat16. Torch's attention also serves other head dimensions and dtypes, a
    prefix above 32, and fewer queries than keys. `seqvae.ops.dispatch.explain` says what ran.

    Args:
        query: shape [B, heads, T, D]; the last T of the S steps in `key` when S > T.
        key: shape [B, heads, S, D].
        value: shape [B, heads, S, D].
        prefix_key: shape [B, heads, P, D], seen by every step and never rotated, or None.
        prefix_value: shape [B, heads, P, D], or None.
        causal: whether step t sees only steps <= t (and the prefix).
        lengths: valid steps of each row of `key`, shape [B]; None means all. With `causal` and
            right padding it is not needed: padded steps are seen by padded steps alone.
        rotary: cosine and sine tables, each [at least S, D / 2], by whose angles queries and keys are
            rotated (see `attention_reference.rotate`); constants, and None rotates nothing.

    Returns:
        shape [B, heads, T, D]; 0 where a step sees nothing.

    Raises:
        ValueError: shapes do not fit.
        TypeError: lengths are not integers.
    """
    _check(query, key, value, prefix_key, prefix_value, lengths, rotary)
    compiling = torch.compiler.is_compiling()
    if query.device.type == "cpu" and (compiling or not interpreting()):
        if not compiling:
            record("prefix_attention", "reference", "CPU: torch's attention")
        return attention_reference(
            query,
            key,
            value,
            prefix_key,
            prefix_value,
            causal=causal,
            lengths=lengths,
            rotary=rotary,
        )
    parts = (query, key, value, prefix_key, prefix_value)
    device = query.device.type
    if torch.is_autocast_enabled(device):
        # What autocast does for torch's attention.
        parts = tuple(_autocast(x, device) for x in parts)  # type: ignore[assignment]
    tensors: Tensors = (*parts, lengths, *(rotary if rotary is not None else (None, None)))
    asked = forced()
    to, why = route(tensors)
    # An exported program is for other machines, whose sizes may take another row.
    if torch.compiler.is_exporting():
        to, why = "sdpa", "exported"
    elif asked in ("reference", "sdpa"):
        to, why = "sdpa", "asked for"
    if to != "sdpa":
        return fused_attention(tensors, causal, tiled=to == "tiles")
    if not compiling:
        record("prefix_attention", "reference" if asked == "reference" else "sdpa", why)
    if asked == "reference":
        return attention_reference(*tensors[:5], causal=causal, lengths=lengths, rotary=rotary)
    return _sdpa(tensors, causal)
