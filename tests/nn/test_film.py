import torch

from seqvae.nn.film import FilmNorm


def test_zero_modulation_is_a_plain_norm() -> None:
    norm, x = FilmNorm(6), torch.randn(2, 3, 6)
    torch.testing.assert_close(norm(x, torch.zeros(2, 12)), norm(x))
    torch.testing.assert_close(norm(x), torch.nn.functional.layer_norm(x, (6,)))


def test_scale_and_shift_come_in_this_order_for_each_sequence() -> None:
    norm, x = FilmNorm(2), torch.randn(2, 3, 2)
    modulation = torch.tensor([[1.0, 0.0, 5.0, 7.0], [0.0, 0.0, 0.0, 0.0]])
    plain = norm(x)
    found = norm(x, modulation)
    torch.testing.assert_close(
        found[0], plain[0] * torch.tensor([2.0, 1.0]) + torch.tensor([5.0, 7.0])
    )
    torch.testing.assert_close(found[1], plain[1])
