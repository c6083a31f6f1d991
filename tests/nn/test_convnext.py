import pytest
import torch

from seqvae.nn.convnext import ConvNext
from seqvae.ops.philox import normal


def test_a_piece_with_its_context_has_the_states_of_the_whole() -> None:
    torch.manual_seed(0)
    network = ConvNext(6, 16, blocks=3, kernel=3, ahead=2).eval()
    x = normal(torch.tensor([1]), (2, 40, 6))
    whole = network(x)
    assert (network.past, network.ahead) == (6, 2)
    assert whole.shape == (2, 32, 16)
    torch.testing.assert_close(network(x[:, 10:25]), whole[:, 10:17])


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_nothing_further_ahead_is_seen(ahead: int) -> None:
    torch.manual_seed(0)
    network = ConvNext(6, 16, blocks=1, kernel=3, ahead=ahead).eval()
    x = normal(torch.tensor([1]), (1, 20, 6)).requires_grad_()
    network(x)[0, 7, 0].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(1).nonzero()[:, 0]
    frame = 7 + network.past
    assert int(seen.min()) == frame - network.past
    assert int(seen.max()) == frame + ahead


def test_more_is_not_seen_than_there_are_taps_for() -> None:
    with pytest.raises(ValueError, match="do not see 5 frames ahead"):
        ConvNext(6, 16, blocks=1, kernel=3, ahead=5)
