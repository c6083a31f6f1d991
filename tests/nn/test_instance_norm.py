import pytest
import torch
from torch.nn import functional as F

from seqvae.nn.instance_norm import EPSILON, PRIOR_STEPS, InstanceNorm


def states() -> torch.Tensor:
    scale = torch.tensor([0.1, 1.0, 20.0])[:, None]
    return 5 + scale * torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(0))


def test_without_padding_it_is_that_of_torch() -> None:
    x = states()
    expected = F.instance_norm(x, eps=EPSILON)
    everything = torch.ones(4, 1, 50, dtype=torch.bool)
    torch.testing.assert_close(InstanceNorm()(x), expected)
    torch.testing.assert_close(InstanceNorm()(x, everything), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_has_no_part_in_it_and_becomes_zero(causal: bool) -> None:
    norm, x = InstanceNorm(causal=causal), states()
    lengths = torch.tensor([50, 20, 1, 7])
    mask = (torch.arange(50) < lengths[:, None])[:, None]
    found = norm(x.where(mask, torch.nan), mask)
    for row, length in enumerate(lengths.tolist()):
        alone = norm(x[row : row + 1, :, :length])
        torch.testing.assert_close(found[row, :, :length], alone[0], rtol=1e-4, atol=1e-4)
        assert (found[row, :, length:] == 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_the_definition(masked: bool) -> None:
    x = states()[:1, :, :20].double().requires_grad_()
    mask = (torch.arange(20) < 13)[None, None] if masked else None
    weight = torch.randn(1, 3, 20, generator=torch.Generator().manual_seed(1)).double()
    norm = InstanceNorm()
    (norm(x.float(), mask) * weight).sum().backward()
    found, size = x.grad, 13 if masked else 20
    real = x.detach()[:, :, :size].clone().requires_grad_()
    mean, variance = real.mean(2, keepdim=True), real.var(2, keepdim=True, correction=0)
    ((real - mean) / (variance + EPSILON).sqrt() * weight[:, :, :size]).sum().backward()  # type: ignore[no-untyped-call]
    assert found is not None and real.grad is not None
    torch.testing.assert_close(found[:, :, :size], real.grad, rtol=1e-3, atol=1e-4)
    assert not found[:, :, size:].any()


def test_causal_statistics_are_those_of_the_steps_so_far_and_the_prior() -> None:
    x = states()
    found = InstanceNorm(causal=True)(x)
    for step in (0, 1, 30, 49):
        past = x[:, :, : step + 1].double()
        count = step + 1 + PRIOR_STEPS
        mean = past.sum(2) / count
        variance = (past.square().sum(2) + PRIOR_STEPS) / count - mean.square()
        expected = (past[:, :, -1] - mean) / variance.sqrt()
        torch.testing.assert_close(found[:, :, step], expected.float())


def test_a_long_stream_far_from_zero_keeps_its_digits() -> None:
    x = 1000 + torch.randn(1, 1, 100_000, generator=torch.Generator().manual_seed(2))
    tail = InstanceNorm(causal=True)(x)[:, :, -10_000:]
    # The prior's four steps at 0 are four outliers of 1000 deviations: sqrt(1 + 4 * 1000^2 / 1e5) = 6.4.
    assert float(tail.std()) == pytest.approx(1 / 6.4, rel=0.05)
