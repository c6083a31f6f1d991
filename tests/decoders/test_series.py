"""Decoders of frames: who sees what, whatever network is inside."""

from typing import Any

import pytest
import torch
from torch import Tensor

from seqvae.config_frames import Frames
from seqvae.decoders import FilmConv, Gru, SeriesDecoder, StepSeries, Transformer
from seqvae.errors import UserError
from tests.laws import close, gradients_reach_everything, noise

FEATURES, STEPS, LATENT = 3, 9, 4
LENGTHS = torch.tensor([9, 4, 7])
GRU = Gru(width=8)
TRANSFORMER = Transformer(layers=1, width=8, heads=2, prefix=2)
FILM = FilmConv(width=8, fine_width=6, layers=1)
MADE = {
    "gru": Frames(decoder=GRU),
    "gru-autoregressive": Frames(decoder=GRU, autoregressive=True),
    "transformer": Frames(decoder=TRANSFORMER),
    "transformer-autoregressive": Frames(decoder=TRANSFORMER, autoregressive=True),
    "film": Frames(decoder=FILM),
}


def decoder_of(name: str, told: int | None = LATENT) -> SeriesDecoder:
    torch.manual_seed(0)
    decoder = MADE[name].build_decoder(FEATURES, STEPS + 3, told).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    return decoder


@pytest.fixture(params=MADE)
def decoder(request: pytest.FixtureRequest) -> SeriesDecoder:
    return decoder_of(request.param)


def inputs() -> tuple[Tensor, Tensor]:
    return noise(3, STEPS, FEATURES), noise(3, LATENT, of=1)


def test_padding_has_no_influence(decoder: SeriesDecoder) -> None:
    x, z = inputs()
    states = decoder(x, z, LENGTHS)
    assert states.shape == (3, STEPS, decoder.width)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = decoder(x[one, :length], z[one], LENGTHS[one])
        close(alone[0], states[row, :length], atol=1e-4)


def test_a_state_knows_the_frames_before_it_or_none(decoder: SeriesDecoder) -> None:
    x, z = inputs()
    states = decoder(x, z, LENGTHS)
    changed = x.clone()
    changed[:, 2] += 3.0
    other = decoder(changed, z, LENGTHS)
    close(other[:, :3], states[:, :3])
    differs = (other[:, 3:] - states[:, 3:]).abs().amax((0, 2)) > 1e-5
    assert bool(differs.any()) is decoder.autoregressive


def test_every_frame_has_its_own_state_and_knows_its_vector(decoder: SeriesDecoder) -> None:
    x, z = inputs()
    states = decoder(x, z, LENGTHS)
    assert (states[0, 1:] - states[0, :-1]).abs().amax(-1).min() > 1e-4
    moved = z.clone()
    moved[1] += 1.0
    other = decoder(x, moved, LENGTHS)
    close(other[[0, 2]], states[[0, 2]])
    assert (other[1, :4] - states[1, :4]).abs().amax(-1).min() > 1e-4


def test_everything_learns(decoder: SeriesDecoder) -> None:
    x, z = inputs()
    z.requires_grad_()
    longest = decoder.longest
    padded = torch.cat([x, noise(3, longest - STEPS, FEATURES, of=2)], 1)
    states = decoder(padded, z, torch.full((3,), longest))
    gradients_reach_everything(decoder, (states - noise(*states.shape, of=3)).square().sum())
    assert z.grad is not None and (z.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", ["gru-autoregressive", "transformer-autoregressive"])
@pytest.mark.parametrize("told", [LATENT, None])
def test_steps_say_the_same_as_the_whole(name: str, told: int | None) -> None:
    decoder = decoder_of(name, told)
    assert isinstance(decoder, StepSeries)
    x, z = inputs()
    vector = z if told else None
    states = decoder(x, vector, LENGTHS)
    state: Any = decoder.decoder.start(vector, 3, STEPS)
    for place in range(STEPS):
        last = x[:, place - 1] if place else None
        close(decoder.step(last, state, 3), states[:, place], atol=1e-4)


def test_what_does_not_go_together_is_named() -> None:
    with pytest.raises(UserError, match="film-conv do not go together"):
        Frames(decoder=FILM, autoregressive=True)
    with pytest.raises(UserError, match="frame-dropout"):
        Frames(frame_dropout=0.3)
    with pytest.raises(UserError, match="--latent none needs"):
        Frames().build(FEATURES, STEPS, latent=False)
    with pytest.raises(UserError, match="conditional needs labels"):
        Frames(conditional=True).build(FEATURES, STEPS)
    with pytest.raises(TypeError, match="all frames at once"):
        decoder = decoder_of("gru")
        assert isinstance(decoder, StepSeries)
        decoder.step(None, None, 3)
