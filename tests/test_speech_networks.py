"""The speech model as a whole: style over content."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.config_speech import Speech
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.decoders import FilmConv
from seqvae.encoders import ContentConv, PitchConv, StyleConv
from seqvae.errors import UserError
from seqvae.latent import CONTENT, PITCH, STYLE
from seqvae.likelihoods import Laplace, Normal
from seqvae.model import SequenceVAE
from seqvae.posteriors import Gaussian
from seqvae.priors import Hierarchical

MELS, SPEAKERS, ITEMS = 8, 3, 5
SETTINGS = MelSettings(n_fft=256, hop=64, window=256, mels=MELS)
LENGTHS = torch.tensor([14, 9, 3])
SEED = torch.tensor([7])
SMALL = Speech(
    content=ContentConv(width=12, layers=1, coarse_layers=1, smooth=5),
    content_posterior=Gaussian(4),
    style=StyleConv(width=10, layers=1),
    style_posterior=Gaussian(5),
    decoder=FilmConv(width=12, layers=1, coarse_layers=1, fine_width=10),
    pitch_reader=PitchConv(width=8, layers=1, classes=16),
    table_width=6,
)
MEAN, STD = np.linspace(-6, -3, MELS), np.linspace(1, 2, MELS)
SPEAKERS_OF = ["encoder", "table", "both"]


def small_model(config: Speech = SMALL, **changes: Any) -> SequenceVAE:  # noqa: ANN401
    """In evaluation mode, its posteriors' means made large enough to matter."""
    torch.manual_seed(0)
    model = replace(config, **changes).build(SETTINGS, MEAN, STD, SPEAKERS, ITEMS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "statistics.weight" in name:
                parameter.mul_(10.0)
    return model.eval()


def frames(rows: int = 3, steps: int = 14, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, steps, MELS, generator=generator) - 4.5


def small_batch(steps: int = 14, seed: int = 0) -> Batch:
    course, hertz = frames(3, steps, seed + 1)[..., :1] + 4.5, torch.full((3, steps, 1), 5.0)
    return Batch(
        frames(3, steps, seed),
        LENGTHS,
        torch.tensor([2, 0, 1]),
        items=torch.tensor([4, 0, 2]),
        pitch=torch.cat([course, (course > 0).float(), hertz], -1),
    )


@pytest.mark.parametrize("speakers", SPEAKERS_OF)
def test_terms_have_their_shapes(speakers: Any) -> None:  # noqa: ANN401
    model, batch = small_model(speakers=speakers), small_batch()
    one, three = model(batch, SEED), model(batch, SEED, 3)
    assert one.reconstruction.shape == (1, 3)
    assert three.reconstruction.shape == (3, 3)
    levels = [CONTENT] if speakers == "table" else [STYLE, CONTENT]
    assert list(one.kl_dimensions) == list(model.levels) == levels
    assert one.kl_dimensions[CONTENT].shape == (3, 4)
    if STYLE in levels:
        assert one.kl_dimensions[STYLE].shape == (3, 5)
    assert one.log_ratio is None
    assert three.log_ratio is not None and three.log_ratio.shape == (3, 3)
    assert one.kl.dtype == one.reconstruction.dtype == torch.float32
    torch.testing.assert_close(one.seconds, LENGTHS * 0.004)
    # One sample is the mean over samples but for their noise; the KL has none.
    torch.testing.assert_close(one.kl, three.kl)


@pytest.mark.parametrize("speakers", SPEAKERS_OF)
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(speakers: Any, stride: Any, causal: bool) -> None:  # noqa: ANN401
    content = replace(SMALL.content, stride=stride, causal=causal)
    decoder = replace(SMALL.decoder, causal=causal)
    model = small_model(speakers=speakers, content=content, decoder=decoder)
    batch = small_batch()
    wider = torch.nn.functional.pad(batch.values, (0, 0, 0, 6), value=100.0)
    for row, length in enumerate(LENGTHS.tolist()):
        assert batch.labels is not None
        alone = Batch(batch.values[row : row + 1, :length], LENGTHS[row : row + 1])
        assert batch.pitch is not None
        pitch = batch.pitch[row : row + 1]
        alone = replace(alone, labels=batch.labels[row : row + 1], pitch=pitch[:, :length])
        behind = torch.nn.functional.pad(pitch, (0, 0, 0, 6), value=9.0)
        padded = replace(alone, values=wider[row : row + 1], pitch=behind)
        kl = model(batch, SEED).kl[row]
        torch.testing.assert_close(model(alone, SEED).kl[0], kl, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model(padded, SEED).kl[0], kl, rtol=1e-4, atol=1e-4)
        # Noise depends on the place in a batch; what the means say does not.
        said = [costs(model, x)[0] for x in (alone, padded)] + [costs(model, batch)[row]]
        torch.testing.assert_close(said[0], said[1], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(said[0], said[2], rtol=1e-4, atol=1e-3)


def costs(model: SequenceVAE, batch: Batch) -> Tensor:
    """-log p(x | means), [B]."""
    style = model.style(batch.values, batch.lengths).mean[None] if model.latent else None
    content = model.content(batch.values, batch.lengths).mean[None]
    return model.reconstruction(batch, style, {CONTENT: content})[0]


def test_frames_are_what_reconstruction_scores() -> None:
    model, batch = small_model(speakers="both"), small_batch()
    style = model.style(batch.values, batch.lengths).mean
    content = model.content(batch.values, batch.lengths).mean
    voice = model.condition(style, batch.labels)
    assert voice.shape == (3, 5 + 6)
    assert batch.pitch is not None
    course = batch.pitch
    written = model.frames(content, voice, 14, course, batch.lengths)
    assert written.shape == (3, 14, MELS)
    exact = replace(batch, values=written)
    floor = model.reconstruction(exact, style[None], {CONTENT: content[None]})[0]
    # A frame that is hit costs ln (2 scale) a bin of the standardised frames; the scale starts at 1 / e.
    torch.testing.assert_close(floor, LENGTHS * MELS * (math.log(2.0) - 1.0))
    assert (costs(model, batch) > floor).all()
    steps = -(-9 // SMALL.content.stride)
    alone = model.frames(content[1:2, :steps], voice[1:2], 9, course[1:2, :9])
    torch.testing.assert_close(alone[0], written[1, :9], rtol=1e-4, atol=1e-4)


def test_content_reads_the_source_and_style_the_values() -> None:
    model, batch = small_model(), small_batch()
    warped = replace(batch, source=frames(seed=1), source_lengths=LENGTHS)
    plain, other = model(batch, SEED), model(warped, SEED)
    torch.testing.assert_close(plain.kl_dimensions[STYLE], other.kl_dimensions[STYLE])
    assert not torch.allclose(plain.kl_dimensions[CONTENT], other.kl_dimensions[CONTENT])
    read = model.content(warped.encoder_values, LENGTHS)
    torch.testing.assert_close(other.kl_dimensions[CONTENT], read.kl())


def test_levels_draw_noise_of_their_own_and_the_seed_fixes_it() -> None:
    model = small_model(style_posterior=Gaussian(4))
    batch = Batch(frames(3, 2), torch.full((3,), 2))
    first = model(batch, SEED)
    assert torch.equal(model(batch, SEED).reconstruction, first.reconstruction)
    assert not torch.allclose(model(batch, SEED + 1).reconstruction, first.reconstruction)
    style, content = model.style(batch.values), model.content(batch.values)
    noise = [(style.sample(SEED, stream=0) - style.mean), content.sample(SEED, stream=1)]
    assert style.mean.shape == (3, 4) and content.mean.shape == (3, 1, 4)
    correlated = torch.corrcoef(torch.stack([noise[0].flatten(), noise[1].flatten()]))
    assert correlated[0, 1].abs() < 0.9


@pytest.mark.parametrize("likelihood", [Laplace(), Normal()])
@pytest.mark.parametrize("speakers", SPEAKERS_OF)
@pytest.mark.parametrize("padded", [False, True])
def test_gradients_reach_every_weight(likelihood: Any, speakers: Any, padded: bool) -> None:  # noqa: ANN401
    model = small_model(speakers=speakers, likelihood=likelihood).train()
    batch = small_batch()
    if not padded:
        batch = replace(batch, lengths=torch.full((3,), 14))
    terms = model(batch, SEED)
    (terms.reconstruction.mean() + terms.kl.mean() + terms.penalty).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_bfloat16_networks_sum_their_terms_in_float32(causal: bool, padded: bool) -> None:
    content, decoder = (replace(part, causal=causal) for part in (SMALL.content, SMALL.decoder))
    model, batch = small_model(content=content, decoder=decoder).train(), small_batch()
    if not padded:
        batch = replace(batch, lengths=torch.full((3,), 14))
    exact = model(batch, SEED)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(batch, SEED)
    assert terms.reconstruction.dtype == terms.kl.dtype == torch.float32
    assert terms.penalties[PITCH].dtype == torch.float32
    torch.testing.assert_close(terms.reconstruction, exact.reconstruction, rtol=0.1, atol=5.0)
    (terms.reconstruction.mean() + terms.kl.mean() + terms.penalty).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_weights_and_statistics_survive_saving() -> None:
    model, batch = small_model(speakers="both"), small_batch()
    again = replace(SMALL, speakers="both").build(SETTINGS, speakers=SPEAKERS)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(batch, SEED).reconstruction, model(batch, SEED).reconstruction)


def test_pitch_is_told_where_it_was_tracked_and_read_elsewhere() -> None:
    model, batch = small_model(), small_batch()
    told, read = model(batch, SEED), model(replace(batch, pitch=None), SEED)
    assert not torch.allclose(told.reconstruction, read.reconstruction)
    assert not read.penalties
    contour = model.contour(batch.values, batch.lengths)
    assert contour is not None and contour.shape == (3, 14, 3)
    again = replace(batch, pitch=contour)
    torch.testing.assert_close(model(again, SEED).reconstruction, read.reconstruction)
    deaf = small_model(pitch=False)
    assert deaf.contour(batch.values) is None
    assert PITCH not in deaf(batch, SEED).penalties
    # The reader learns from what was tracked, not from what the decoder would like to hear.
    read.reconstruction.sum().backward()
    assert all(p.grad is None for p in model.get_submodule("pitch").parameters())


def test_a_hierarchical_prior_is_told_the_recording_in_training_alone() -> None:
    model, batch = small_model(style_prior=Hierarchical()), small_batch()
    assert set(model(batch, SEED).penalties) == {PITCH}
    anonymous = replace(batch, items=None)
    torch.testing.assert_close(model(batch, SEED).kl, model(anonymous, SEED).kl)
    model.train()
    told = model(batch, SEED)
    assert told.penalties[STYLE].shape == (3,)
    assert STYLE not in model(anonymous, SEED).penalties
    assert not torch.allclose(
        told.kl_dimensions[STYLE], model(anonymous, SEED).kl_dimensions[STYLE]
    )
    (told.kl.mean() + told.penalty).backward()
    table = model.need_latent().prior.get_parameter("table.weight").grad
    assert table is not None
    # Those of the batch are pulled to its styles, the others pushed away.
    assert (table.abs().sum(1) > 0).all()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="style vector"):
        small_model().condition(None, None)
    with pytest.raises(ValueError, match="row of its table"):
        small_model(speakers="table").condition()
    with pytest.raises(ValueError, match="no latent"):
        small_model(speakers="table").style(frames())
    with pytest.raises(TypeError, match="speech model"):
        small_model().need_token_decoder()
    with pytest.raises(UserError, match="needs recordings with speakers"):
        replace(SMALL, speakers="table").build(SETTINGS)


class Converter(torch.nn.Module):
    """Frames and another voice's frames to frames, from means."""

    def __init__(self, model: SequenceVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Tensor, voice: Tensor) -> Tensor:
        content = self.model.content(values).mean
        condition = self.model.condition(self.model.style(voice).mean)
        contour = self.model.contour(values)
        return self.model.frames(content, condition, values.shape[1], contour)


@pytest.mark.parametrize("causal", [False, True])
def test_a_graph_of_any_length_can_be_made(causal: bool) -> None:
    content, decoder = (replace(part, causal=causal) for part in (SMALL.content, SMALL.decoder))
    converter = Converter(small_model(content=content, decoder=decoder)).eval()
    any_length = {1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(
            converter, (frames(1, 22), frames(1, 33)), dynamic_shapes=(any_length, any_length)
        )
        for steps in (9, 16, 23, 50):
            given = frames(1, steps, seed=steps), frames(1, 20, seed=1)
            torch.testing.assert_close(program.module()(*given), converter(*given))
