"""Laws of the parts that read and write frames: their likelihoods, encoders and decoders, and posteriors over them."""

from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.nn.conv import shortened
from seqvae.posteriors import FrameGaussian
from tests.laws import LATENT, WIDTH, build, close, gradients_reach_everything, law, noise, seed
from tests.laws_networks import LAWS

# With the laws below registered: import it from here.
__all__ = ["LAWS"]

MELS, STEPS = 6, 11
SETTINGS = MelSettings(mels=MELS)
LENGTHS = torch.tensor([9, 4, 11])
CONDITION = 3


def behind(lengths: Tensor, size: int) -> Tensor:
    """True at padding, [B, size, 1]."""
    return (torch.arange(size) >= lengths[:, None])[..., None]


def near(a: Tensor, b: Tensor) -> None:
    """Equal but for the order of sums, which blocks of large weights blow up."""
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def steps_of(lengths: Tensor, stride: int) -> Tensor:
    found = shortened(lengths, stride)
    assert found is not None
    return found


def reloaded(module: nn.Module, other: nn.Module) -> nn.Module:
    """`other` with the weights of `module`, by way of bytes."""
    other.load_state_dict(load(save({k: v.contiguous() for k, v in module.state_dict().items()})))
    return other.eval()


def grid_of_values(likelihood: Any, half: float, points: int) -> tuple[Tensor, float]:  # noqa: ANN401
    """Values [points, 1, 1] around the mean of a one-bin likelihood, and their spacing in deviations."""
    line = torch.linspace(-half, half, points)[:, None, None]
    return line * likelihood.std_of_bins + likelihood.mean_of_bins, 2 * half / (points - 1)


def frame_likelihood(config: Any, mels: int = MELS) -> Any:  # noqa: ANN401
    mean, std = torch.linspace(-5, -3, mels).numpy(), torch.linspace(1.5, 2.5, mels).numpy()
    likelihood = build(config, WIDTH, mels, mean, std)
    with torch.no_grad():
        likelihood.log_scale.copy_(0.3 * noise(mels, of=8))
    return likelihood


@law("frame_likelihood")
def a_bin_has_a_density_whose_mean_is_the_one_given(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config, 1)
    values, width = grid_of_values(likelihood, 60.0, 120_001)
    for state in noise(3, 1, 1, WIDTH):
        hidden = state.expand(len(values), 1, WIDTH)
        density = (-likelihood.nll(hidden, values).double()).exp() * width
        close(density.sum(), torch.ones((), dtype=torch.float64), atol=1e-4)
        # Of the data's own numbers it is one over their own distances.
        apart = 120.0 / 120_000 * float(likelihood.std_of_bins[0])
        own = (-likelihood.nll(hidden, values).double() - likelihood.log_units).exp() * apart
        close(own.sum(), torch.ones((), dtype=torch.float64), atol=1e-3)
        # Natural log-mel, not standardised.
        mean = (density * values[:, 0, 0]).sum().float()
        close(mean, likelihood.mean(hidden)[0, 0, 0], atol=2e-3)


@law("frame_likelihood")
def quantiles_are_those_of_the_density(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config, 1).requires_grad_(False)
    hidden = noise(1, 1, WIDTH)
    values, width = grid_of_values(likelihood, 60.0, 120_001)
    density = (-likelihood.nll(hidden.expand(len(values), 1, -1), values).double()).exp() * width
    for probability in (0.02, 0.3, 0.5, 0.9):
        found = likelihood.quantile(hidden, torch.full((1, 1, 1), probability))
        assert abs(float(density[values[:, 0, 0] <= found[0, 0, 0]].sum()) - probability) < 2e-3


@law("frame_likelihood")
def nll_of_frames_is_the_sum_of_its_steps_and_float32(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config)
    hidden, values = noise(3, STEPS, WIDTH), noise(3, STEPS, MELS, of=1) - 4
    steps = likelihood.nll_steps(hidden, values, LENGTHS)
    assert steps.shape == (3, STEPS)
    close(likelihood.nll(hidden, values, LENGTHS), steps.sum(1))
    close(likelihood.nll(hidden[2:], values[2:]), steps[2:].sum(1))
    coarse = likelihood.bfloat16().nll(hidden.bfloat16(), values, LENGTHS)
    assert steps.dtype == coarse.dtype == torch.float32


@law("frame_likelihood")
def padded_frames_cost_nothing(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config)
    hidden, values = noise(3, STEPS, WIDTH), noise(3, STEPS, MELS, of=1)
    steps = likelihood.nll_steps(hidden, values, LENGTHS)
    beyond = behind(LENGTHS, STEPS)
    assert (steps[beyond[..., 0]] == 0).all()
    other = (x.where(~beyond, 1e6) for x in (hidden, values))
    assert torch.equal(likelihood.nll_steps(*other, LENGTHS), steps)


@law("frame_likelihood")
def frame_likelihood_learns_and_bounds_its_scale(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config)
    hidden, values = noise(3, STEPS, WIDTH).requires_grad_(), noise(3, STEPS, MELS, of=1)
    gradients_reach_everything(likelihood, likelihood.nll(hidden, values, LENGTHS).sum())
    assert hidden.grad is not None
    assert torch.equal(hidden.grad.abs().sum(-1) > 0, ~behind(LENGTHS, STEPS)[..., 0])
    with torch.no_grad():
        likelihood.log_scale.fill_(-1000.0)
        sharp = likelihood.nll(hidden, values, LENGTHS)
        likelihood.log_scale.fill_(1000.0)
        assert torch.isfinite(sharp).all()
        assert torch.isfinite(likelihood.nll(hidden, values, LENGTHS)).all()


@law("frame_likelihood")
def frame_likelihood_is_loaded_with_its_statistics(config: Any) -> None:  # noqa: ANN401
    likelihood = frame_likelihood(config)
    again = reloaded(likelihood, config.build(WIDTH, MELS))
    values, hidden = noise(3, STEPS, MELS, of=1), noise(3, STEPS, WIDTH)
    assert torch.equal(again.nll(hidden, values), likelihood.nll(hidden, values))  # type: ignore[operator]
    assert torch.equal(again.embed(values), likelihood.embed(values))  # type: ignore[operator]


@law("frame_encoder")
def frame_encoder_does_not_see_padding(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, MELS)
    x = noise(3, STEPS, MELS)
    summaries = encoder(x, LENGTHS)
    steps = steps_of(LENGTHS, encoder.stride)
    assert summaries.shape == (3, -(-STEPS // encoder.stride), encoder.width)
    other = encoder(x.where(~behind(LENGTHS, STEPS), 1e3), LENGTHS)
    for row, (length, count) in enumerate(zip(LENGTHS.tolist(), steps.tolist(), strict=True)):
        near(other[row, :count], summaries[row, :count])
        alone = encoder(x[row : row + 1, :length])
        assert alone.shape[1] == count
        near(alone[0], summaries[row, :count])
        # Of one row, not in a batch, lengths say nothing.
        near(encoder(x[row : row + 1, :length], LENGTHS[row : row + 1]), alone)


@law("frame_encoder")
def frame_encoder_sees_every_frame_and_learns(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, MELS)
    x = noise(3, STEPS, MELS).requires_grad_()
    summaries = encoder(x, LENGTHS)
    steps = steps_of(LENGTHS, encoder.stride)
    error = (summaries - noise(*summaries.shape, of=9)).square()
    total = error.where(~behind(steps, summaries.shape[1]), 0.0).sum()
    gradients_reach_everything(encoder, total)
    assert x.grad is not None
    assert torch.equal(x.grad.abs().sum(-1) > 0, ~behind(LENGTHS, STEPS)[..., 0])


@law("frame_encoder")
def causal_summaries_are_of_the_past(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, MELS)
    x = noise(1, 16, MELS)
    summaries = encoder(x)
    for step in range(1, summaries.shape[1]):
        changed = x.clone()
        changed[:, step * encoder.stride :] = (
            3 * noise(1, 16, MELS, of=5)[:, step * encoder.stride :]
        )
        same = torch.allclose(encoder(changed)[:, :step], summaries[:, :step], atol=1e-5)
        assert same is config.causal, step
        # No future is needed to know the past.
        if config.causal:
            near(encoder(x[:, : step * encoder.stride]), summaries[:, :step])


@law("frame_encoder")
def frame_encoder_is_saved_and_loaded(config: Any) -> None:  # noqa: ANN401
    encoder, x = build(config, MELS), noise(3, STEPS, MELS)
    assert torch.equal(reloaded(encoder, config.build(MELS))(x), encoder(x))


def frame_decoders(config: Any) -> list[Any]:  # noqa: ANN401
    """For both strides, told the pitch and not."""
    sizes = [(2, None), (4, None), (2, SETTINGS), (4, SETTINGS)]
    return [build(config, LATENT, CONDITION, *size) for size in sizes]


def contour(rows: int, frames: int) -> Tensor:
    """A pitch [rows, frames, 3] around 148 Hz."""
    return noise(rows, frames, 3, of=6) + torch.tensor([0.0, 0.0, 5.0])


def decoder_inputs(decoder: Any) -> list[Tensor]:  # noqa: ANN401
    """Content [3, T', D], zero at padding, conditions [3, C], and the pitch [3, T, 3] if it is told."""
    steps = steps_of(LENGTHS, decoder.stride)
    size = int(steps.max())
    content = noise(3, size, LATENT).where(~behind(steps, size), 0.0)
    pitch = [contour(3, STEPS)] if decoder.pitch else []
    return [content, noise(3, CONDITION, of=4), *pitch]


def states_of(
    decoder: Any,  # noqa: ANN401
    inputs: list[Tensor],
    frames: int = STEPS,
    lengths: Tensor | None = LENGTHS,
) -> Tensor:
    pitch = inputs[2][:, :frames] if len(inputs) > 2 else None
    states: Tensor = decoder(*inputs[:2], frames, pitch, lengths)
    return states


@law("frame_decoder")
def frame_decoder_does_not_see_padding(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        inputs = decoder_inputs(decoder)
        states = states_of(decoder, inputs)
        assert states.shape == (3, STEPS, decoder.width)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = [x[row : row + 1] for x in inputs]
            # What content there is behind the last frame has no influence either.
            near(states_of(decoder, alone, length, None)[0], states[row, :length])
            alone[0] = alone[0][:, : -(-length // decoder.stride)]
            near(states_of(decoder, alone, length, None)[0], states[row, :length])


@law("frame_decoder")
def each_row_listens_to_what_is_its_own(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        inputs = decoder_inputs(decoder)
        states = states_of(decoder, inputs)
        for which in range(len(inputs)):
            given = [x.clone() for x in inputs]
            # Not a constant: a norm over time takes that away.
            given[which][1] += noise(*given[which][1].shape, of=7)
            changed = states_of(decoder, given)
            near(changed[[0, 2]], states[[0, 2]])
            assert (changed[1, :4] - states[1, :4]).abs().amax(-1).max() > 1e-3


@law("frame_decoder")
def causal_frames_hear_nothing_of_the_future(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        frames = 5 * decoder.stride
        inputs = [noise(1, 5, LATENT), noise(1, CONDITION, of=4)]
        inputs += [contour(1, frames)] if decoder.pitch else []
        states = states_of(decoder, inputs, frames, None)
        for step in range(1, 5):
            here = step * decoder.stride
            changed = [inputs[0].clone(), inputs[1], *(x.clone() for x in inputs[2:])]
            changed[0][:, step:] = 3 * noise(1, 5, LATENT, of=5)[:, step:]
            if decoder.pitch:
                changed[2][:, here:] += 2.0
            found = states_of(decoder, changed, frames, None)[:, :here]
            same = torch.allclose(found, states[:, :here], rtol=1e-3, atol=1e-4)
            assert same is config.causal, step
            if config.causal:
                near(states_of(decoder, changed, here, None), states[:, :here])


@law("frame_decoder")
def frame_decoder_learns_and_passes_gradients_on(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        inputs = [x.requires_grad_() for x in decoder_inputs(decoder)]
        states = states_of(decoder, inputs)
        error = (states - noise(*states.shape, of=9)).square()
        gradients_reach_everything(decoder, error.where(~behind(LENGTHS, STEPS), 0.0).sum())
        steps = steps_of(LENGTHS, decoder.stride)
        for x, lengths in zip(inputs, (steps, None, LENGTHS), strict=False):
            assert x.grad is not None
            reached = x.grad.abs().sum(-1) > 0
            real = torch.ones_like(reached)
            if lengths is not None:
                real = ~behind(lengths, x.shape[1])[..., 0]
            assert torch.equal(reached, real)


@law("frame_decoder")
def frame_decoder_is_saved_and_loaded(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        inputs = decoder_inputs(decoder)
        settings = SETTINGS if decoder.pitch else None
        again = reloaded(decoder, config.build(LATENT, CONDITION, decoder.stride, settings))
        assert torch.equal(states_of(again, inputs), states_of(decoder, inputs))


@law("frame_decoder")
def pitch_is_told_where_it_is_asked_for(config: Any) -> None:  # noqa: ANN401
    for decoder in frame_decoders(config):
        content, condition, *pitch = decoder_inputs(decoder)
        with pytest.raises(ValueError, match="pitch"):
            decoder(content, condition, STEPS, None if pitch else contour(3, STEPS))


def frames_posterior(config: Any, lengths: Tensor | None = LENGTHS) -> FrameGaussian:  # noqa: ANN401
    posterior: FrameGaussian = build(config, WIDTH).frames(noise(3, STEPS, WIDTH), lengths)
    return posterior


@law("frame_posterior")
def posterior_over_frames_ignores_padding(config: Any) -> None:  # noqa: ANN401
    whole = frames_posterior(config)
    z, kl = whole.sample_with_kl(seed(3), 4)
    assert z.shape == (4, 3, STEPS, LATENT)
    assert kl.shape == (3, LATENT)
    assert z.dtype == kl.dtype == torch.float32
    assert (z[behind(LENGTHS, STEPS)[..., 0].expand(4, -1, -1)] == 0).all()
    close(kl, whole.kl())
    close(z, whole.sample(seed(3), 4))
    assert not torch.equal(z, whole.sample(seed(3), 4, stream=1))
    network = build(config, WIDTH)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = network.frames(noise(3, STEPS, WIDTH)[row : row + 1, :length])
        close(alone.kl()[0], kl[row])
        close(alone.mean[0], whole.mean[row, :length])
        close(alone.log_prob(z[:, row : row + 1, :length])[:, 0], whole.log_prob(z)[:, row])
        close(whole.select(slice(row, row + 1)).kl()[0], kl[row])


@law("frame_posterior")
def kl_of_frames_is_that_of_their_samples(config: Any) -> None:  # noqa: ANN401
    posterior = frames_posterior(config)
    z = posterior.sample(seed(3), 20_000)
    standard = posterior.total(-0.5 * (z.square() + torch.log(torch.tensor(2 * torch.pi))).sum(-1))
    ratio = posterior.log_prob(z) - standard
    error = 5 * ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - posterior.kl().sum(1)).abs() < error).all()


@law("frame_posterior")
def posterior_over_frames_learns_from_real_ones_alone(config: Any) -> None:  # noqa: ANN401
    network = build(config, WIDTH).train()
    summaries = noise(3, STEPS, WIDTH).requires_grad_()
    z, kl = network.frames(summaries, LENGTHS).sample_with_kl(seed(1), 2)
    gradients_reach_everything(network, z.square().sum() + kl.sum())
    assert summaries.grad is not None
    assert torch.equal(summaries.grad.abs().sum(-1) > 0, ~behind(LENGTHS, STEPS)[..., 0])
    changed = noise(3, STEPS, WIDTH).where(~behind(LENGTHS, STEPS), 7.0)
    close(network.frames(changed, LENGTHS).kl(), kl.detach())
