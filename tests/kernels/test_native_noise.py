"""The C++ twin's noise and its independence of how the work is split."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seqvae.kernels import native
from seqvae.kernels.native import request
from seqvae.kernels.native.request import Instructions
from seqvae.ops import normal
from seqvae.ops.philox import pair_to_normal, philox4x32, word_to_uniform

pytestmark = pytest.mark.skipif(not native.available(), reason="the native library was not built")

WIDTHS: tuple[Instructions, ...] = request.instruction_sets() if native.available() else ()
STREAM = torch.tensor([9])
# Three chunks of 2^14 elements, the last one short; tiles with remainders.
ROWS, DIM = 701, 65


def draw(*shape: int, offset: int) -> npt.NDArray[np.float32]:
    return np.asarray(normal(STREAM, shape, offset).numpy())


def words(blocks: int, **fields: Any) -> npt.NDArray[np.uint32]:  # noqa: ANN401
    found = np.empty((blocks, 4), dtype=np.uint32)
    request.philox(found.ctypes.data, blocks, **fields)
    return found


def results(**options: Any) -> list[npt.NDArray[np.float32]]:  # noqa: ANN401
    """Everything that a forward and a backward pass give."""
    mean, log_variance = draw(ROWS, DIM, offset=1), draw(ROWS, DIM, offset=2)
    z, kl = native.gaussian_latent(mean, log_variance, 5, reduce="both", **options)
    dkl = draw(ROWS, offset=3), draw(DIM, offset=4)
    gradients = native.gaussian_latent_backward(
        mean, log_variance, 5, z, dkl, reduce="both", **options
    )
    return [z, kl[0], kl[1], *gradients]


@pytest.mark.parametrize("instructions", WIDTHS)
@pytest.mark.parametrize("offset", [0, (1 << 33) + 1, -1])
@pytest.mark.parametrize("seed", [0, 12345, -(2**63), 2**63 - 1])
def test_words_are_those_of_the_reference(
    seed: int, offset: int, instructions: Instructions
) -> None:
    # The low half of the counter wraps within them.
    first = (5 << 32) - 21
    counter = torch.arange(first, first + 67)
    expected = torch.stack(philox4x32(torch.tensor([seed]), counter, offset), dim=-1)
    found = words(67, seed=seed, offset=offset, first=first, instructions=instructions)
    np.testing.assert_array_equal(found, expected.numpy().astype(np.uint32))


@pytest.mark.parametrize("instructions", WIDTHS)
def test_words_are_those_of_the_paper(instructions: Instructions) -> None:
    # Random123 1.14, tests/kat_vectors: philox4x32, counter and key 0.
    known = {
        7: [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48],
        10: [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8],
    }
    for rounds, expected in known.items():
        found = words(1, seed=0, rounds=rounds, instructions=instructions)
        np.testing.assert_array_equal(found, [expected])


@pytest.mark.parametrize("instructions", WIDTHS)
def test_normals_are_within_a_millionth_of_the_reference(instructions: Instructions) -> None:
    zeros = np.zeros((1 << 12, 64), dtype=np.float32)
    z, _ = native.gaussian_latent(zeros, zeros, 1234, offset=7, instructions=instructions)
    expected = normal(torch.tensor([1234]), (1, 1 << 12, 64), 7).numpy()
    np.testing.assert_allclose(z, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("instructions", WIDTHS)
def test_seven_rounds_are_normal_too(instructions: Instructions) -> None:
    zeros = np.zeros((1 << 10, 64), dtype=np.float32)
    z, _ = native.gaussian_latent(zeros, zeros, 3, rounds=7, instructions=instructions)
    found = torch.from_numpy(words(1 << 14, seed=3, rounds=7).astype(np.int64))
    first, second, third, fourth = word_to_uniform(found).unbind(-1)
    lanes = (*pair_to_normal(first, second), *pair_to_normal(third, fourth))
    expected = torch.stack(lanes, dim=-1).reshape(z.shape).numpy()
    np.testing.assert_allclose(z, expected, atol=1e-6, rtol=0)
    assert abs(z.mean()) < 0.02 and abs(z.var() - 1) < 0.03


@pytest.mark.parametrize("instructions", WIDTHS)
@pytest.mark.parametrize(
    ("rows", "dim", "samples"), [(1, 1, 5), (63, 3, 1), (5, 257, 3), (9, 64, 2)]
)
def test_the_backward_pass_sees_the_forward_pass_noise(
    rows: int, dim: int, samples: int, instructions: Instructions
) -> None:
    zeros = np.zeros((rows, dim), dtype=np.float32)
    options: dict[str, Any] = {"offset": 11, "instructions": instructions}
    z, _ = native.gaussian_latent(zeros, zeros, 42, samples=samples, **options)
    for s in range(samples):
        dz = np.zeros_like(z)
        dz[s] = 1
        # With log-variance 0 the gradient is half of the noise, exactly.
        _, gradient = native.gaussian_latent_backward(zeros, zeros, 42, dz, None, **options)
        np.testing.assert_array_equal(2 * gradient, z[s])


@pytest.mark.parametrize("threads", [2, 3, 300])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    for one, many in zip(results(threads=1), results(threads=threads), strict=True):
        np.testing.assert_array_equal(one, many)


def test_vector_widths_do_not_change_a_bit() -> None:
    wide = [results(instructions=name) for name in WIDTHS if name != "baseline"]
    for other in wide[1:]:
        for one, two in zip(wide[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    # The baseline of x86 has no fused multiply-add.
    for one, two in zip(results(instructions="baseline"), results(), strict=True):
        np.testing.assert_allclose(one, two, atol=4e-6, rtol=2e-6)


def test_calls_from_several_threads_do_not_mix() -> None:
    expected = results()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: results(threads=2), range(12)):
            for one, two in zip(expected, found, strict=True):
                np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("beside", ["numpy", "torch"])
def test_a_forked_child_has_threads_of_its_own(beside: str) -> None:
    # Beside torch the threads are its OpenMP runtime's, which a child must leave alone.
    code = (
        f"import os, {beside}, numpy as np\n"
        "from seqvae.kernels import native\n"
        "x = np.zeros((1024, 64), np.float32)\n"
        "before = native.sample_latent(x, x, 1, threads=2)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    same = np.array_equal(before, native.sample_latent(x, x, 1, threads=2))\n"
        "    os._exit(0 if same else 7)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
