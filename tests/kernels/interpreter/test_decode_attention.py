"""The Triton source of `decode_attention`, interpreted: against the reference, poison, splits, strides."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.kernels import decode_attention as kernels
from seqvae.ops.decode_attention import decode_attention, reference
from seqvae.ops.dispatch import explain, use

BFLOAT16, FLOAT16, FLOAT32 = torch.bfloat16, torch.float16, torch.float32
TOLERANCE = {FLOAT32: (1e-6, 1e-5), FLOAT16: (1e-3, 2e-3), BFLOAT16: (8e-3, 1.6e-2)}
# Tensors, or None where there is no prefix or no rotation.
Case = dict[str, Any]


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fill outputs and scratch with NaN before the kernels run."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(
    batch: int,
    heads: int,
    capacity: int,
    positions: list[int],
    prefix: int = 0,
    dtype: torch.dtype = FLOAT32,
    width: int = 32,
) -> Case:
    """Inputs whose caches hold NaN at the position and behind it."""
    made: Case = {
        name: drawn(i, batch, heads, width).to(dtype)
        for i, name in enumerate(("query", "key", "value"))
    }
    position = torch.tensor(positions)
    for i, name in enumerate(("key_cache", "value_cache"), 3):
        cache = drawn(i, batch, heads, capacity, width).to(dtype)
        unwritten = torch.arange(capacity) >= position.expand(batch)[:, None]
        made[name] = cache.masked_fill(unwritten[:, None, :, None], float("nan"))
    made["position"] = position
    for i, name in enumerate(("prefix_key", "prefix_value"), 5):
        made[name] = drawn(i, batch, heads, prefix, width).to(dtype) if prefix else None
    angle = torch.arange(capacity)[:, None] * 10.0 ** -torch.arange(width // 2)
    made["cosine"], made["sine"] = angle.cos().float(), angle.sin().float()
    return made


def copied(made: Case) -> Case:
    return {name: None if x is None else x.clone() for name, x in made.items()}


def run(made: Case, splits: int | None = None) -> Tensor:
    """The launcher on CPU tensors, through the interpreter."""
    out: Tensor = kernels.decode_attention("triton", **made, arch=90, splits=splits)
    return out


def check(made: Case, splits: int | None = None, changed: Callable[[Case], Case] = copied) -> None:
    """Same result and same caches as the reference; only the slot at the position is written."""
    expected_in, found_in = copied(made), changed(made)
    expected, found = reference(**expected_in), run(found_in, splits)
    absolute, relative = TOLERANCE[found.dtype]
    torch.testing.assert_close(found, expected, atol=absolute, rtol=relative)
    for name, value in found_in.items():
        old = made[name]
        if name.endswith("_cache"):
            slot = torch.arange(value.shape[2]) == made["position"].expand(len(value))[:, None]
            slot = slot[:, None, :, None].expand_as(value)
            new, written = value[slot], expected_in[name][slot]
            torch.testing.assert_close(new, written, atol=absolute, rtol=relative)
            value, old = value[~slot], old[~slot]
        if value is not None:
            assert torch.equal(value.nan_to_num(7.0), old.nan_to_num(7.0))


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize(
    ("batch", "heads", "capacity", "positions"),
    [
        (1, 1, 1, [0]),
        (3, 1, 7, [6]),
        (1, 5, 63, [1]),
        (3, 5, 63, [0, 1, 62]),
        (1, 1, 257, [256]),
        (3, 1, 257, [128, 127, 0]),
    ],
)
def test_equals_the_reference(
    batch: int, heads: int, capacity: int, positions: list[int], prefix: int
) -> None:
    check(case(batch, heads, capacity, positions, prefix))


@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16])
def test_dtypes_and_head_dimensions(dtype: torch.dtype, width: int) -> None:
    made = case(2, 2, 63, [40, 62], 5, dtype, width)
    check(made)
    check(made, splits=3)


@pytest.mark.parametrize("splits", [2, 3, 8])
def test_splits_only_change_the_rounding(splits: int) -> None:
    for positions in ([0, 256, 64], [300, 129, 65], [31, 32, 320]):
        check(case(3, 1, 321, positions, 5), splits=splits)


def test_most_of_many_splits_have_nothing_to_do() -> None:
    check(case(2, 1, 2048, [2047, 70]), splits=32)


@pytest.mark.parametrize(
    ("heads", "rows", "splits"),
    [(8, 64, 1), (8, 511, 1), (8, 1032, 9), (64, 1032, 8), (512, 4096, 1), (1, 100_000, 32)],
)
def test_rows_are_split_where_the_table_says(heads: int, rows: int, splits: int) -> None:
    assert kernels.splits_for(heads, rows, "bf16", 64, 90) == splits


def test_the_most_of_a_prefix_and_no_steps_before() -> None:
    made = case(2, 1, 70, [0, 69], 32, width=128)
    for splits in (1, 2, 5):
        check(made, splits)


def test_any_strides() -> None:
    def strided(made: Case) -> Case:
        moved = copied(made)
        for name in ("key_cache", "value_cache", "prefix_key", "prefix_value"):
            x = made[name]
            # In memory keys are [H, C, B, D] and values [C, B, H, D].
            order = (2, 0, 1, 3) if "value" in name else (1, 2, 0, 3)
            back = sorted(range(4), key=order.__getitem__)
            moved[name] = x.permute(order).contiguous().permute(back)
        packed = torch.stack([made["query"], made["key"], made["value"]], 1)
        moved["query"], moved["key"], moved["value"] = packed.unbind(1)
        return moved

    made = case(3, 5, 63, [0, 9, 62], 5)
    check(made, changed=strided)
    check(made, splits=2, changed=strided)


def test_no_rotation() -> None:
    made = case(2, 3, 33, [20]) | {"cosine": None, "sine": None}
    check(made)
    check(made, splits=2)


@pytest.mark.parametrize("splits", [1, 4])
def test_a_position_outside_gives_nan_and_writes_nothing(splits: int) -> None:
    made = case(4, 2, 300, [-1, 300, 5, 2**40], 3)
    before = copied(made)
    out = run(made, splits)
    assert out[[0, 1, 3]].isnan().all()
    assert out[2].isfinite().all()
    for name in ("key_cache", "value_cache"):
        new, old = made[name], before[name]
        assert torch.equal(new[[0, 1, 3]].nan_to_num(7.0), old[[0, 1, 3]].nan_to_num(7.0))
    # Tables shorter than the cache end it as well.
    short = case(1, 1, 9, [6]) | {"cosine": torch.ones(6, 16), "sine": torch.zeros(6, 16)}
    assert run(short, splits).isnan().all()


def test_extreme_scores_stay_finite() -> None:
    made = case(1, 1, 40, [39], 3)
    for name in ("query", "key_cache", "prefix_key"):
        x = made[name]
        made[name] = x * 1e4
    check(made)
    check(made, splits=2)


def test_the_operation_takes_this_path_when_asked() -> None:
    made = case(2, 2, 17, [3], 2)
    expected = reference(**copied(made))
    cosine, sine = made.pop("cosine"), made.pop("sine")
    with use("triton"):
        found = decode_attention(**made, rotary=(cosine, sine))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    (choice,) = (choice for choice in explain() if choice.op == "decode_attention")
    assert (choice.path, choice.reason) == ("triton", "interpreted")


@pytest.mark.parametrize(
    ("dtype", "width", "turned", "reason"),
    [
        (torch.float64, 32, False, "no kernel for torch.float64"),
        (FLOAT32, 16, False, "no kernel for heads of 16, only (32, 64, 128)"),
        (FLOAT32, 32, True, "a cache or prefix is not contiguous in its last dimension"),
    ],
)
def test_what_no_kernel_serves_takes_the_reference(
    dtype: torch.dtype, width: int, turned: bool, reason: str
) -> None:
    made = case(2, 2, 9, [3], 2, dtype, width)
    if turned:
        made["key_cache"] = made["key_cache"].mT.contiguous().mT
    cosine, sine = made.pop("cosine"), made.pop("sine")
    with use("triton"):
        found = decode_attention(**made, rotary=(cosine, sine))
    assert found.isfinite().all()
    (choice,) = (choice for choice in explain() if choice.op == "decode_attention")
    assert (choice.path, choice.reason) == ("reference", reason)
