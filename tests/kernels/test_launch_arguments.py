"""What each host launcher hands over fits the variant it names: the machine code would not notice.

Nothing is launched: the launchers run on CPU tensors and what they start is compared with ``variants(arch)``.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from seqvae.kernels.aot import registry
from seqvae.kernels.launch import Launch
from tests.kernels import toy

pytestmark = toy.needs_triton
ARCHS = (80, 90)
DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
NAMES = {**DTYPES, torch.int64: "i64", torch.bool: "i1", torch.int32: "i32", torch.uint8: "u8"}


class Starts:
    """Takes the place of ``start`` and compares."""

    def __init__(self, module: str, arch: int) -> None:
        self.variants = registry.variants(module, arch)
        self.names: list[str] = []

    def __call__(
        self,
        path: str,
        name: str,
        function: Any,  # noqa: ANN401
        grid: tuple[int, ...],
        arguments: tuple[Any, ...],
        constants: dict[str, Any],
        launch: Launch,
    ) -> None:
        assert path == "aot"
        assert name in self.variants, f"{name} is in no variants()"
        variant = self.variants[name]
        assert function is variant.function
        assert constants == variant.constants
        assert launch == variant.launch
        assert 1 <= len(grid) <= 3
        runtime = [pair for pair in variant.signature.items() if pair[1] != "constexpr"]
        assert len(arguments) == len(runtime), f"{name}: {len(arguments)} of {len(runtime)}"
        for value, (parameter, kind) in zip(arguments, runtime, strict=True):
            where = f"{name}: {parameter} is {kind}, got {value!r:.80}"
            if kind.startswith("*"):
                assert isinstance(value, torch.Tensor), where
                # A tensor that stands in for an absent one may have any type; it is another argument too.
                twice = sum(value is other for other in arguments) > 1
                assert twice or NAMES[value.dtype] == kind[1:], where
                assert parameter not in variant.aligned or value.data_ptr() % 16 == 0, where
                continue
            assert type(value) is (int if kind[0] == "i" else float), where
            if kind == "i32":
                assert -(2**31) <= value < 2**31, where
            if kind[0] == "i":
                assert parameter not in variant.aligned or value % 16 == 0, where
        self.names.append(name)


@pytest.fixture(params=ARCHS)
def arch(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def watch(arch: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Starts]]:
    def replace(name: str) -> Starts:
        module = f"seqvae.kernels.{name}"
        starts = Starts(module, arch)
        monkeypatch.setattr(importlib.import_module(module), "start", starts)
        return starts

    yield replace


@pytest.mark.parametrize("dtype", DTYPES, ids=DTYPES.get)
@pytest.mark.parametrize("head", [32, 64, 128])
def test_decode_attention(
    watch: Callable[[str], Starts], arch: int, dtype: torch.dtype, head: int
) -> None:
    from seqvae.kernels import decode_attention as module

    starts = watch("decode_attention")
    query = torch.zeros(2, 3, head, dtype=dtype)
    cache = torch.zeros(2, 3, 256, head, dtype=dtype)
    prefix = torch.zeros(2, 3, 5, head, dtype=dtype)
    table = torch.zeros(256, head // 2)
    inputs = (query, query.clone(), query.clone(), cache, cache.clone(), torch.zeros(1).long())
    for extras in ((None, None, None, None), (prefix, prefix.clone(), table, table.clone())):
        for splits in (1, 4):
            module.decode_attention("aot", *inputs, *extras, arch=arch, splits=splits)
    assert len(starts.names) == 2 * 3
    assert len(set(starts.names)) == 3
