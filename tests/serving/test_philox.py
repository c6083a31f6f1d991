import numpy as np
import pytest
import torch

from seqvae.ops import philox as truth
from seqvae.serving import philox

SEEDS = [0, 1, 7, -1, 2**31, 2**63 - 1, -(2**63), 0x123456789ABCDEF]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("offset", [0, 5, 1 << 32, (2**31 - 1) << 32, (3 << 32) + 9])
def test_words_are_bit_equal(seed: int, offset: int) -> None:
    counter = [0, 1, 2, 1000, 2**31, 2**32 - 1, 2**40 + 3]
    wanted = truth.philox4x32(torch.tensor([seed]), torch.tensor(counter), offset)
    found = philox.philox4x32(seed, np.array(counter, np.uint64), offset)
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.astype(np.int64))
        np.testing.assert_array_equal(truth.word_to_uniform(a).numpy(), philox.word_to_uniform(b))


@pytest.mark.parametrize("seed", SEEDS)
def test_normals_agree(seed: int) -> None:
    wanted = truth.normal(torch.tensor([seed]), (5, 7)).numpy()
    np.testing.assert_allclose(philox.normal(seed, (5, 7)), wanted, atol=2e-6)


def test_normals_begin_anywhere() -> None:
    whole = philox.normal(3, (40,))
    for first in range(9):
        np.testing.assert_array_equal(philox.normal(3, (11,), first), whole[first : first + 11])
    for sample in range(4):
        noise = philox.latent_noise(3, sample, 10)
        np.testing.assert_array_equal(noise, whole[10 * sample : 10 * sample + 10])


def test_token_uniforms_are_a_stream_of_their_own() -> None:
    for sample in (0, 1, 2**31 - 2):
        stream = truth.uniform(torch.tensor([9]), (10,), (sample + 1) << 32).numpy()
        np.testing.assert_array_equal(philox.token_uniforms(9, sample, 10), stream)
        np.testing.assert_array_equal(philox.token_uniforms(9, sample, 3), stream[:3])
