import torch

from seqvae.nn.attention import SelfAttention
from seqvae.nn.rotary import Rotary


def attention(causal: bool) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(8, 2, Rotary(4, 16), causal)


def prefix(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    key, value = torch.randn(2, batch, 2, 3, 4, generator=torch.Generator().manual_seed(5)).unbind(
        0
    )
    return key, value


@torch.no_grad()
def test_the_cache_equals_all_steps_at_once() -> None:
    layer, x = attention(True), torch.randn(2, 6, 8)
    cache = layer.empty_cache(2, 6, x)
    pieces = [x[:, :2], x[:, 2:3], x[:, 3:]]
    found = torch.cat([layer(piece, prefix(2), cache=cache) for piece in pieces], 1)
    torch.testing.assert_close(found, layer(x, prefix(2)), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_rows_of_a_cache_can_be_reordered() -> None:
    layer, x = attention(True), torch.randn(3, 4, 8)
    cache = layer.empty_cache(3, 4, x)
    layer(x[:, :3], cache=cache)
    rows = torch.tensor([2, 0, 0, 1])
    cache.select(rows)
    found = layer(x[rows, 3:], cache=cache)
    torch.testing.assert_close(found, layer(x)[rows, 3:], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_padding_of_a_bidirectional_layer_has_no_influence() -> None:
    layer, x = attention(False), torch.randn(2, 5, 8)
    lengths = torch.tensor([5, 3])
    changed = x.clone()
    changed[1, 3:] = 100.0
    torch.testing.assert_close(
        layer(x, lengths=lengths)[1, :3], layer(changed, lengths=lengths)[1, :3]
    )
    assert not torch.allclose(layer(x)[1, :3], layer(changed)[1, :3])
