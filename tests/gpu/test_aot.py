"""The embedded kernels on a GPU: all load, equal the just-in-time build, and stand graphs, streams and threads.

make cubins
SEQVAE_CUBIN_LIBRARY=build/aot/_native.so PYTHONPATH=. python -m pytest -m gpu tests/gpu/test_aot.py
"""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seqvae import ops
from seqvae.kernels.native import cuda
from seqvae.ops import dispatch
from seqvae.ops.decode_attention import decode_attention
from seqvae.ops.prefix_attention import prefix_attention

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cuda.names(), reason=f"no library with kernels: set {cuda.VARIABLE}"),
]
Call = Callable[[], tuple[Tensor, ...]]


def arch() -> int:
    major, minor = torch.cuda.get_device_capability()
    return 10 * major + minor


def draw(*shape: int, dtype: torch.dtype, offset: int) -> Tensor:
    seed = torch.tensor([5], device="cuda")
    return ops.normal(seed, shape, offset).to(dtype).requires_grad_()


def latent(dtype: torch.dtype) -> Call:
    statistics = draw(63, 2 * 64, dtype=dtype, offset=1)
    seed = torch.tensor([3], device="cuda")

    def call() -> tuple[Tensor, ...]:
        z, kl = ops.gaussian_latent(statistics, None, seed, reduce="rows")
        (gradient,) = torch.autograd.grad((z, kl), statistics, (2 * torch.ones_like(z), 3 * kl))
        return z, kl, gradient

    return call


def inference(dtype: torch.dtype) -> Call:
    mean = draw(63, 64, dtype=dtype, offset=2).detach()
    log_variance = draw(63, 64, dtype=dtype, offset=3).detach()
    seed = torch.tensor([3], device="cuda")
    return lambda: (
        ops.kl_rows(mean, log_variance),
        ops.sample_latent(mean, log_variance, seed, samples=3),
    )


def attention(steps: int, dtype: torch.dtype) -> Call:
    query, key, value = (draw(2, 4, steps, 64, dtype=dtype, offset=4 + i) for i in range(3))
    prefix_key, prefix_value = (draw(2, 4, 3, 64, dtype=dtype, offset=7 + i) for i in range(2))
    inputs = (query, key, value, prefix_key, prefix_value)

    def call() -> tuple[Tensor, ...]:
        out = prefix_attention(*inputs)
        return (out, *torch.autograd.grad(out, inputs, 2 * torch.ones_like(out)))

    return call


def decode(dtype: torch.dtype) -> Call:
    query, key, value = (draw(2, 4, 64, dtype=dtype, offset=9 + i).detach() for i in range(3))
    caches = [draw(2, 4, 128, 64, dtype=dtype, offset=12 + i).detach() for i in range(2)]
    position = torch.tensor([100], device="cuda")

    def call() -> tuple[Tensor, ...]:
        keys, values = (cache.clone() for cache in caches)
        return decode_attention(query, key, value, keys, values, position), keys, values

    return call


FLOAT32, FLOAT16, BFLOAT16 = torch.float32, torch.float16, torch.bfloat16
# Operation, call and dtype; what is not here is not compiled beforehand.
CASES: list[tuple[str, Callable[[torch.dtype], Call], torch.dtype]] = [
    ("gaussian_latent", latent, FLOAT32),
    ("gaussian_latent", latent, BFLOAT16),
    ("kl_rows", inference, FLOAT32),
    ("sample_latent", inference, BFLOAT16),
    ("prefix_attention", lambda dtype: attention(12, dtype), FLOAT32),
    ("prefix_attention", lambda dtype: attention(12, dtype), BFLOAT16),
    ("prefix_attention", lambda dtype: attention(63, dtype), BFLOAT16),
    ("decode_attention", decode, FLOAT32),
    ("decode_attention", decode, FLOAT16),
    ("decode_attention", decode, BFLOAT16),
]


def ran() -> dict[str, str]:
    return {choice.op: choice.path for choice in dispatch.explain()}


def test_a_first_launch_inside_a_graph_is_captured() -> None:
    # First in this file: nothing has been loaded yet.
    mean, log_variance = (draw(127, 64, dtype=FLOAT32, offset=20 + i).detach() for i in range(2))
    with dispatch.use("reference"):
        expected = ops.kl_rows(mean, log_variance)
    graph = torch.cuda.CUDAGraph()
    with dispatch.use("aot"), torch.cuda.graph(graph):
        kl = ops.kl_rows(mean, log_variance)
    assert ran()["kl_rows"] == "aot"
    kl.fill_(float("nan"))
    graph.replay()
    torch.testing.assert_close(kl, expected, rtol=1e-3, atol=1e-3)


def test_every_kernel_for_this_gpu_loads() -> None:
    torch.cuda.synchronize()
    names = {name.rpartition("_sm")[0] for name in cuda.names()}
    kernels = [kernel for name in names if (kernel := cuda.kernel(name, arch()))]
    assert kernels, f"{cuda.VARIABLE} has no kernels for sm_{arch()}"
    for kernel in kernels:
        kernel.load(0)


@pytest.mark.parametrize(("op", "make", "dtype"), CASES)
def test_both_builds_agree(
    op: str, make: Callable[[torch.dtype], Call], dtype: torch.dtype
) -> None:
    call = make(dtype)
    with dispatch.use("triton"):
        expected = call()
        assert ran()[op] == "triton"
    with dispatch.use("aot"):
        got = call()
        assert ran()[op] == "aot", dispatch.explain()
    for value, reference in zip(got, expected, strict=True):
        # One source; two versions of a compiler may order sums differently.
        tolerance = 1e-5 if value.dtype == torch.float32 else 1e-2
        torch.testing.assert_close(value, reference, rtol=tolerance, atol=tolerance)


def test_other_streams_and_threads_use_their_own() -> None:
    call = inference(torch.float32)
    with dispatch.use("reference"):
        expected = call()
    results: list[tuple[Tensor, ...]] = []

    def work() -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.default_stream())
        with torch.cuda.stream(stream):
            results.append(call())
        stream.synchronize()

    with dispatch.use("aot"):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 4
    for got in results:
        for value, reference in zip(got, expected, strict=True):
            torch.testing.assert_close(value, reference, rtol=1e-4, atol=1e-4)


def test_tensors_that_begin_inside_others_are_served_too() -> None:
    whole = draw(1 + 63 * 64, dtype=torch.float32, offset=30).detach()
    mean = whole[1:].view(63, 64)
    assert mean.data_ptr() % 16
    with dispatch.use("reference"):
        expected = ops.kl_rows(mean, mean)
    with dispatch.use("aot"):
        got = ops.kl_rows(mean, mean)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
