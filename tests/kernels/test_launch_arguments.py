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
        self.module: Any = importlib.import_module(module)
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
        monkeypatch.setattr(starts.module, "start", starts)
        return starts

    yield replace


@pytest.mark.parametrize("dtype", DTYPES, ids=DTYPES.get)
@pytest.mark.parametrize("head", [32, 64, 128])
def test_decode_attention(
    watch: Callable[[str], Starts], arch: int, dtype: torch.dtype, head: int
) -> None:
    starts = watch("decode_attention")
    module = starts.module
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=DTYPES.get)
@pytest.mark.parametrize("dim", [16, 64, 256, 1024])
def test_gaussian_latent(
    watch: Callable[[str], Starts], arch: int, dtype: torch.dtype, dim: int
) -> None:
    starts = watch("gaussian_launch")
    module = starts.module
    # Packed statistics: halves of one matrix.
    packed = torch.zeros(70, 2 * dim, dtype=dtype)
    mean, log_variance = packed[:, :dim], packed[:, dim:]
    seed, offset = torch.zeros(1).long(), torch.ones(1).long()
    mask = torch.ones(70, dtype=torch.bool)
    common = {"offset_value": 2**40, "samples": 1, "noise_scale": 0.5, "clamp": (-1.0, 1.0)}
    last = {"MANY": False, "ROUNDS": 10}
    for kl in ("rows", "dimensions", "elements"):
        if kl != "rows" and dim not in module.SHIPPED:
            continue
        main = module.plan("gaussian_latent_forward", arch, mean, mean, KL=kl, CLAMP=False, **last)
        plans = (main, module.means_plan(1, arch)) if kl == "dimensions" else (main,)
        for given in ((seed, None, None), (seed, offset, mask)):
            z, kl_rows, kl_dimensions, scale = module.forward(
                *("aot", plans, mean, log_variance, *given),
                **common,
                rows_wanted=True,
                row_nats=0.0,
                nats=float("-inf"),
                width=1,
            )
            kind = "elements" if kl == "elements" else "reduced"
            if kind == "elements" or dim in module.SHIPPED:
                back = module.plan(
                    *("gaussian_latent_backward", arch, mean, mean, packed, packed),
                    KL=kind,
                    FREE=False,
                    CLAMP=False,
                    **last,
                )
                gradients = torch.zeros_like(packed)
                module.backward(
                    *("aot", back, mean, log_variance, *given, z, kl_rows, kl_dimensions, scale),
                    *(gradients[:, :dim], gradients[:, dim:]),
                    **common,
                    row_nats=0.0,
                )
    many = {"MANY": dim in module.SHIPPED, "ROUNDS": 10}
    drawn = module.plan("sample_latent", arch, mean, mean, **many)
    settings = {"offset_value": 0, "samples": 3, "noise_scale": 1.0}
    module.sample_latent("aot", drawn, mean, log_variance, seed, offset, **settings)
    module.kl_rows("aot", module.plan("kl_rows", arch, mean, mean), mean, log_variance, 0.0)
    assert len(starts.names) == (2 * (2 + 3 + 2) + 2 if dim in module.SHIPPED else 2 + 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=DTYPES.get)
@pytest.mark.parametrize("steps", [5, 63, 300])
def test_prefix_attention(
    watch: Callable[[str], Starts], arch: int, dtype: torch.dtype, steps: int
) -> None:
    from seqvae.kernels import attention_tiles

    starts = watch("prefix_attention_launch")
    module = starts.module
    # As a projection leaves them: heads side by side.
    query, key, value = torch.zeros(3, 2, steps, 4, 64, dtype=dtype).transpose(2, 3).unbind()
    prefix = torch.zeros(2, 4, 3, 64, dtype=dtype)
    table = torch.zeros(steps, 32)
    absent = (None, None, None, None, None)
    full = (prefix, prefix.clone(), torch.ones(2).long(), table, table.clone())
    for extras in (absent, full):
        inputs = module.Inputs(query, key, value, *extras, causal=True, arch=arch)
        single = attention_tiles.tile(steps, inputs.prefix, 64, dtype.itemsize, arch) is not None
        if not single and not attention_tiles.is_tiled(
            steps, inputs.prefix, 64, dtype.itemsize, arch
        ):
            continue
        output = torch.zeros_like(query)
        logsumexp = None if single else torch.zeros(2, 4, steps)
        module.forward("aot", output, logsumexp, inputs)
        saved = None if logsumexp is None else (output.clone(), logsumexp)
        grads = tuple(torch.zeros_like(x) for x in (query, key, value, prefix, prefix))
        module.backward("aot", grads, output, saved, inputs)
    assert starts.names or steps > 16
