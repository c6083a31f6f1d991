from typing import Literal

import pytest
import torch

from seqvae.config_speech import Speech
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.decoders import FilmConv
from seqvae.encoders import ContentConv
from seqvae.nn.conv import Conv
from seqvae.nn.instance_norm import InstanceNorm
from seqvae.nn.streamed import streamed


def networks(
    stride: Literal[2, 4], instance_norm: bool = True
) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    content = ContentConv(
        width=8, layers=2, stride=stride, causal=True, instance_norm=instance_norm
    )
    decoder = FilmConv(width=8, layers=2, coarse_layers=1, causal=True, instance_norm=instance_norm)
    model = Speech(content=content, decoder=decoder).build(MelSettings(mels=20))
    return model.levels["content"].encoder.eval(), model.decoder.eval()


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("instance_norm", [True, False])
@pytest.mark.parametrize("blocks", [[1] * 12, [5, 1, 6], [12]])
def test_blocks_give_what_the_whole_gives(
    stride: Literal[2, 4], instance_norm: bool, blocks: list[int]
) -> None:
    encoder, decoder = networks(stride, instance_norm)
    frames = torch.randn(1, 12 * stride, 20)
    condition = torch.randn(1, 32)
    with torch.inference_mode():
        content = encoder(frames)[..., :32]
        latent = torch.randn(1, 12, 32)
        pitch = torch.randn(1, 12 * stride, 3)
        pitch[..., 2] += 5.0
        whole = decoder(latent, condition, frames.shape[1], pitch)
        first, second = streamed(encoder), streamed(decoder)
        steps = [b * stride for b in blocks]
        summaries = [first(x) for x in torch.split(frames, steps, 1)]
        states = [
            second(z, condition, z.shape[1] * stride, contour)
            for z, contour in zip(
                torch.split(latent, blocks, 1), torch.split(pitch, steps, 1), strict=True
            )
        ]
    torch.testing.assert_close(torch.cat(summaries, 1), content, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cat(states, 1), whole, rtol=1e-4, atol=1e-4)


def test_the_copy_shares_weights_and_leaves_the_network_as_it_was() -> None:
    encoder, _ = networks(4)
    before = str(encoder)
    copy = streamed(encoder)
    own = {p.data_ptr() for p in encoder.parameters()}
    assert {p.data_ptr() for p in copy.parameters()} == own
    assert str(encoder) == before


def test_a_layer_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="reads 2 steps ahead"):
        streamed(Conv(3, 3, 5))
    with pytest.raises(ValueError, match="InstanceNorm over all steps"):
        streamed(torch.nn.Sequential(InstanceNorm()))
    with pytest.raises(ValueError, match="not causal"):
        streamed(Speech().build(MelSettings()).decoder)
