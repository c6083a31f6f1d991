import pytest
import torch

from seqvae.nn.attention import KeyValueCache, SelfAttention
from seqvae.nn.rotary import Rotary


def attention(causal: bool) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(8, 2, Rotary(4, 16), causal)


def prefix(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    key, value = torch.randn(2, batch, 2, 3, 4, generator=torch.Generator().manual_seed(5)).unbind(
        0
    )
    return key, value


def with_position(cache: KeyValueCache) -> KeyValueCache:
    """As a cache on a GPU is: single steps take the fused operation."""
    cache.position = torch.zeros(1, dtype=torch.int64)
    return cache


@pytest.mark.parametrize("fused", [False, True])
@torch.no_grad()
def test_the_cache_equals_all_steps_at_once(fused: bool) -> None:
    layer, x = attention(True), torch.randn(2, 6, 8)
    cache = layer.empty_cache(2, 6, x)
    assert cache.position is None
    cache = with_position(cache) if fused else cache
    pieces = [x[:, :2], x[:, 2:3], x[:, 3:4], x[:, 4:]]
    found = torch.cat([layer(piece, prefix(2), cache=cache) for piece in pieces], 1)
    torch.testing.assert_close(found, layer(x, prefix(2)), atol=1e-6, rtol=1e-5)
    assert cache.length == 6
    if cache.position is not None:
        assert cache.position.tolist() == [6]


@pytest.mark.parametrize("fused", [False, True])
@torch.no_grad()
def test_rows_of_a_cache_can_be_reordered(fused: bool) -> None:
    layer, x = attention(True), torch.randn(3, 5, 8)
    cache = layer.empty_cache(3, 5, x)
    cache = with_position(cache) if fused else cache
    layer(x[:, :3], cache=cache)
    rows = torch.tensor([2, 0, 0, 1])
    cache.select(rows)
    found = [layer(x[rows, step : step + 1], cache=cache) for step in (3, 4)]
    torch.testing.assert_close(torch.cat(found, 1), layer(x)[rows, 3:], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_fused_step_keeps_the_dtypes_under_autocast() -> None:
    layer, x = attention(True), torch.randn(2, 3, 8)
    plain, fused = (layer.empty_cache(2, 3, x) for _ in range(2))
    with_position(fused)
    for step in range(3):
        piece = x[:, step : step + 1]
        with torch.autocast("cpu", torch.bfloat16):
            expected, found = (layer(piece, prefix(2), cache=c) for c in (plain, fused))
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)
    assert fused.key.dtype == torch.float32


def test_the_fused_step_leaves_gradients_to_the_plain_path() -> None:
    layer, x = attention(True), torch.randn(2, 1, 8)
    cache = with_position(layer.empty_cache(2, 2, x))
    layer(x, prefix(2), cache=cache).sum().backward()
    assert layer.qkv.weight.grad is not None
    assert cache.length == 1


@torch.no_grad()
def test_a_full_cache_is_refused() -> None:
    layer, x = attention(True), torch.randn(2, 1, 8)
    cache = with_position(layer.empty_cache(2, 1, x))
    layer(x, cache=cache)
    with pytest.raises(ValueError, match="it holds 1 steps"):
        layer(x, cache=cache)


@torch.no_grad()
def test_a_decoding_step_compiles_whole() -> None:
    layer, x = attention(True), torch.randn(2, 4, 8)
    latent = prefix(2)
    expected = layer(x, latent)
    cache = with_position(layer.empty_cache(2, 4, x))

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step(piece: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        # The host's length stays out of the program, as in a captured graph.
        state = KeyValueCache(cache.key, cache.value, 0, position)
        out: torch.Tensor = layer(piece, latent, cache=state)
        return out

    position = torch.zeros(1, dtype=torch.int64)
    found = torch.cat([step(x[:, i : i + 1], position) for i in range(4)], 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert position.tolist() == [4]


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
