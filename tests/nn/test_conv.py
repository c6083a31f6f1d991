import pytest
import torch

from seqvae.nn.conv import Conv, Upsample, frame_mask, masked, shortened


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (5, 1), (3, 2), (4, 2), (5, 2), (4, 4)])
@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_a_stride_divides_the_length_and_a_part_counts(
    causal: bool, kernel: int, stride: int, size: int
) -> None:
    conv = Conv(2, 3, kernel, stride=stride, causal=causal)
    assert conv(torch.zeros(1, 2, size)).shape == (1, 3, -(-size // stride))
    lengths = shortened(torch.tensor([size]), stride)
    assert lengths is not None and int(lengths) == -(-size // stride)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_a_causal_stride_reads_its_own_frames_and_the_past(kernel: int) -> None:
    conv = Conv(1, 1, kernel, stride=2, causal=True)
    x = torch.zeros(1, 1, 8, requires_grad=True)
    conv(x)[0, 0, 2].backward()
    assert x.grad is not None
    # Step 2 stands for frames 4 and 5.
    assert x.grad[0, 0].nonzero()[:, 0].tolist() == list(range(6 - kernel, 6))


@pytest.mark.parametrize(("causal", "expected"), [(False, [3, 4, 5, 6]), (True, [4, 5, 6, 7])])
def test_upsampling_doubles_and_looks_ahead_only_if_not_causal(
    causal: bool, expected: list[int]
) -> None:
    upsample = Upsample(1, 1, causal=causal)
    x = torch.zeros(1, 1, 5)
    x[0, 0, 2] = 1.0
    found = (upsample(x) - upsample(torch.zeros(1, 1, 5)))[0, 0]
    assert found.shape == (10,)
    assert found.nonzero()[:, 0].tolist() == expected


def test_masks_replace_even_what_is_no_number() -> None:
    mask = frame_mask(torch.tensor([1, 2]), 2)
    x = torch.full((2, 3, 2), torch.nan)
    x[:, :, 0] = 1.0
    found = masked(x, mask)
    assert torch.equal(found[0, :, 1], torch.zeros(3))
    assert found[1, :, 1].isnan().all()
    assert frame_mask(None, 3) is None and masked(x, None) is x
