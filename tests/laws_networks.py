"""Laws of the parts that read and write sequences: likelihoods, encoders, decoders."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.laws import (
    LATENT,
    LAWS,
    MAX_LENGTH,
    VOCABULARY,
    WIDTH,
    build,
    close,
    gradients_reach_everything,
    law,
    noise,
)

# With the laws below registered: import it from here.
__all__ = ["LAWS"]

LENGTHS = torch.tensor([5, 2, 7])


def values_of(seed: int = 0) -> Tensor:
    """Token ids [3, 7], random beyond the end of a sequence as well."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (3, 7), generator=generator)


@law("likelihood")
def probabilities_sum_to_one(config: Any) -> None:  # noqa: ANN401
    likelihood = build(config, VOCABULARY, WIDTH)
    hidden = noise(1, 1, WIDTH).expand(VOCABULARY, 1, WIDTH)
    values = torch.stack([torch.zeros(VOCABULARY).long(), torch.arange(VOCABULARY)], 1)
    nll = likelihood.nll_steps(hidden, values, torch.full((VOCABULARY,), 2))
    close((-nll).exp().sum(), torch.ones(()))


@law("likelihood")
def nll_is_the_sum_of_its_steps_and_float32(config: Any) -> None:  # noqa: ANN401
    likelihood = build(config, VOCABULARY, WIDTH)
    hidden, values = noise(3, 6, WIDTH), values_of()
    steps = likelihood.nll_steps(hidden, values, LENGTHS)
    close(likelihood.nll(hidden, values, LENGTHS), steps.sum(1))
    assert steps.shape == (3, 6)
    assert steps.dtype == torch.float32
    coarse = likelihood.bfloat16().nll(hidden.bfloat16(), values, LENGTHS)
    assert coarse.dtype == torch.float32


@law("likelihood")
def padding_costs_nothing(config: Any) -> None:  # noqa: ANN401
    likelihood = build(config, VOCABULARY, WIDTH)
    hidden, values = noise(3, 6, WIDTH), values_of()
    steps = likelihood.nll_steps(hidden, values, LENGTHS)
    beyond = torch.arange(6) >= LENGTHS[:, None] - 1
    assert (steps[beyond] == 0).all()
    other_values = torch.where(torch.arange(7) >= LENGTHS[:, None], values_of(1), values)
    other_hidden = torch.where(beyond[..., None], noise(3, 6, WIDTH, of=1) * 1e6, hidden)
    assert torch.equal(likelihood.nll_steps(other_hidden, other_values, LENGTHS), steps)


@law("likelihood")
def chunks_equal_full_logits(config: Any) -> None:  # noqa: ANN401
    for dtype in (torch.float32, torch.float64):
        likelihood = build(config, VOCABULARY, WIDTH).to(dtype)
        values = torch.randint(0, VOCABULARY, (9, 8), generator=torch.Generator().manual_seed(2))
        lengths = torch.arange(9) % 7 + 2
        weight = noise(9, of=3)
        real = torch.arange(7) < lengths[:, None] - 1
        full = noise(9, 7, WIDTH, dtype=dtype).requires_grad_()
        log_prob = likelihood.logits(full).log_softmax(-1).gather(2, values[:, 1:, None])[..., 0]
        expected = -(log_prob * real).sum(1)
        (expected * weight).sum().backward()
        wanted = [p.grad.clone() for p in likelihood.parameters()]
        likelihood.zero_grad()
        hidden = full.detach().clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            # 16 rows a chunk, the least there is.
            patch.setattr("seqvae.ops.linear_cross_entropy.CHUNK_ELEMENTS", 1)
            nll = likelihood.nll(hidden, values, lengths)
            (nll * weight).sum().backward()
        close(nll.to(dtype), expected)
        assert hidden.grad is not None and full.grad is not None
        close(hidden.grad, full.grad)
        for parameter, gradient in zip(likelihood.parameters(), wanted, strict=True):
            close(parameter.grad, gradient)


@law("encoder")
def encoder_does_not_see_padding(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, WIDTH, MAX_LENGTH)
    x = noise(3, 7, WIDTH)
    summary = encoder(x, LENGTHS)
    assert summary.shape == (3, encoder.width)
    beyond = (torch.arange(7) >= LENGTHS[:, None])[..., None]
    close(encoder(torch.where(beyond, 1e3 * noise(3, 7, WIDTH, of=1), x), LENGTHS), summary)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(x[row : row + 1, :length], LENGTHS[row : row + 1])
        close(alone[0], summary[row])


@law("encoder")
def encoder_sees_every_step(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, WIDTH, MAX_LENGTH)
    x = noise(3, 7, WIDTH).requires_grad_()
    (encoder(x, LENGTHS) - noise(3, encoder.width, of=9)).square().sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum(-1) > 0
    assert torch.equal(seen, torch.arange(7) < LENGTHS[:, None])


@law("encoder")
def encoder_learns_and_takes_another_width(config: Any) -> None:  # noqa: ANN401
    encoder = build(config, WIDTH + 2, MAX_LENGTH)
    summary = encoder(noise(3, 7, WIDTH + 2), LENGTHS)
    target = noise(3, encoder.width, of=9)
    gradients_reach_everything(encoder, (summary - target).square().sum())


def decoders(config: Any) -> list[tuple[Any, Tensor | None]]:  # noqa: ANN401
    """With a latent and without: (decoder, z [3, D] or None)."""
    return [
        (build(config, LATENT, MAX_LENGTH), noise(3, LATENT, of=4)),
        (build(config, None, MAX_LENGTH), None),
    ]


@law("decoder")
def decoder_is_causal(config: Any) -> None:  # noqa: ANN401
    for decoder, z in decoders(config):
        x = noise(3, 7, WIDTH)
        states = decoder(x, z)
        assert states.shape == (3, 7, decoder.width)
        for step in range(7):
            changed = x.clone()
            changed[:, step:] = noise(3, 7 - step, WIDTH, of=5)
            after = decoder(changed, z)
            close(after[:, :step], states[:, :step])
            assert not torch.allclose(after[:, step], states[:, step], atol=1e-4)


@law("decoder")
def streaming_equals_one_pass(config: Any) -> None:  # noqa: ANN401
    for decoder, z in decoders(config):
        x = noise(3, 7, WIDTH)
        with torch.no_grad():
            states = decoder(x, z)
            state = decoder.start(z, 3, 7)
            for step in range(7):
                close(decoder.step(x[:, step], state), states[:, step])


@law("decoder")
def selected_rows_go_on_alone(config: Any) -> None:  # noqa: ANN401
    rows = torch.tensor([2, 0, 0, 1])
    for decoder, z in decoders(config):
        x = noise(3, 7, WIDTH)
        with torch.no_grad():
            states = decoder(x, z)
            state = decoder.start(z, 3, 7)
            for step in range(7):
                if step == 3:
                    decoder.select(state, rows)
                now = x[:, step] if step < 3 else x[rows, step]
                wanted = states[:, step] if step < 3 else states[rows, step]
                close(decoder.step(now, state), wanted)


@law("decoder")
def each_row_listens_to_its_own_z(config: Any) -> None:  # noqa: ANN401
    decoder, z = decoders(config)[0]
    assert z is not None
    x = noise(3, 7, WIDTH)
    states = decoder(x, z)
    other = z.clone()
    other[1] += 1.0
    changed = decoder(x, other)
    close(changed[[0, 2]], states[[0, 2]])
    # From the first step on: the very first token depends on z.
    assert (changed[1] - states[1]).abs().amax(-1).min() > 1e-3


@law("decoder")
def decoder_learns_and_passes_gradients_to_z(config: Any) -> None:  # noqa: ANN401
    for decoder, z in decoders(config):
        x = noise(3, 7, WIDTH).requires_grad_()
        if z is not None:
            z.requires_grad_()
        target = noise(3, 7, decoder.width, of=9)
        gradients_reach_everything(decoder, (decoder(x, z) - target).square().sum())
        assert x.grad is not None and (x.grad.abs().sum(-1) > 0).all()
        if z is not None:
            assert z.grad is not None and (z.grad.abs() > 0).all()
