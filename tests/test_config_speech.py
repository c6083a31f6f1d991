from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from seqvae.batch import Batch
from seqvae.config import Experiment, Preset, preset, read_config, write_config
from seqvae.config_speech import Speech
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.decoders import FilmConv
from seqvae.encoders import ContentConv, StyleConv
from seqvae.errors import UserError
from seqvae.likelihoods import Normal
from seqvae.objectives import LevelRates
from seqvae.preset_speech import speech_preset


@pytest.mark.parametrize("name", get_args(Preset))
def test_speech_presets_survive_a_file(name: Preset, tmp_path: Path) -> None:
    experiment = speech_preset(name, 250.0)
    write_config(tmp_path / "config.json", experiment, speakers=["a"])
    assert read_config(tmp_path / "config.json") == (experiment, {"format": 1, "speakers": ["a"]})
    assert experiment.objective == LevelRates(content=250.0)


def test_the_smallest_preset_makes_a_model_of_a_few_million_numbers() -> None:
    networks = speech_preset("tiny").speech
    settings = MelSettings()
    model = networks.build(settings, speakers=2)
    assert 2e6 < sum(p.numel() for p in model.parameters()) < 8e6
    size = networks.crop_frames(settings)
    assert size % networks.content.stride == 0
    assert size / settings.frame_rate == pytest.approx(networks.crop_seconds, abs=0.04)
    batch = Batch(torch.zeros(1, size, 80), torch.tensor([size]))
    terms = model(batch, torch.tensor([1]))
    assert torch.isfinite(terms.reconstruction).all()
    assert terms.seconds is not None
    assert float(terms.seconds) == pytest.approx(networks.crop_seconds, abs=0.04)


def test_a_run_is_of_text_or_of_speech() -> None:
    with pytest.raises(UserError, match="is a speech run; a text run is needed"):
        speech_preset().text  # noqa: B018
    with pytest.raises(UserError, match="runs/a is a text run; a speech run is needed"):
        replace(preset(), run="runs/a").speech  # noqa: B018
    assert isinstance(Experiment().text, type(preset().text))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"warp": 1.0}, "warp must be from 0 to below 1, got 1.0"),
        ({"warp": float("nan")}, "warp"),
        ({"crop_seconds": 0.0}, "crop_seconds must be from 0.1 to 600"),
        ({"batch": 0}, "batch must be from 1"),
        ({"table_width": 0}, "table_width"),
    ],
)
def test_settings_that_train_nothing_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Speech(**change)


@pytest.mark.parametrize("network", [ContentConv, StyleConv, FilmConv])
@pytest.mark.parametrize(
    "change", [{"width": 0}, {"width": 10**6}, {"kernel": 4}, {"kernel": -1}, {"layers": -1}]
)
def test_sizes_that_make_no_network_are_refused(network: Any, change: dict[str, int]) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=next(iter(change))):
        network(**change)


@pytest.mark.parametrize("keep", [79, 80, 200])
def test_smoothing_keeps_at_most_all_coefficients(keep: int) -> None:
    with pytest.raises(UserError, match="smooth"):
        ContentConv(smooth=-1)
    encoder = ContentConv(width=8, layers=0, smooth=keep).build(80)
    plain = ContentConv(width=8, layers=0, smooth=0).build(80)
    plain.load_state_dict(encoder.state_dict())
    x = torch.randn(1, 8, 80, generator=torch.Generator().manual_seed(0))
    if keep < 80:  # without the finest one, which this is made of
        fine = torch.cos(79 * torch.pi * (torch.arange(80) + 0.5) / 80)
        x = x - (x @ fine)[..., None] * fine / fine.square().sum()
    torch.testing.assert_close(encoder(x), plain(x), rtol=1e-4, atol=1e-4)


def test_smoothing_removes_what_is_fine_and_keeps_what_is_coarse() -> None:
    encoder = ContentConv(width=8, layers=0, smooth=12).build(80)
    time, place = torch.arange(8.0)[:, None], (torch.arange(80) + 0.5) / 80
    coarse = time * torch.cos(5 * torch.pi * place)
    fine = torch.cos(40 * torch.pi * place) * torch.sin(time)
    torch.testing.assert_close(
        encoder((coarse + fine)[None]), encoder(coarse[None]), rtol=1e-3, atol=1e-3
    )


def test_statistics_must_be_of_the_bins() -> None:
    with pytest.raises(ValueError, match=r"\[80\]"):
        Normal().build(8, 80, torch.zeros(40).numpy())
