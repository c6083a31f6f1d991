import math

import pytest
import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.tasks.convert import Conversion
from seqvae.tasks.f0 import F0, f0_of, placed, stretched
from seqvae.tasks.speech_model import SpeechModel
from tests.tasks.speech.conftest import tiny
from tests.tasks.speech.sounds import speech


class Told:
    """A reader of pitch that is told what to read."""

    def __init__(self, log: Tensor, voiced: Tensor) -> None:
        self.log, self.voiced = log, voiced

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.log, self.voiced


def test_statistics_are_of_voiced_frames_and_octave_slips_do_not_count(
    model: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    log = math.log(120.0) + 0.2 * torch.randn(1, 2000, generator=generator)
    voiced = torch.ones(1, 2000)
    log[0, :30] += math.log(2.0)  # 3 % an octave too high
    log[0, 1000:], voiced[0, 1000:] = 99.0, 0.0
    monkeypatch.setattr(model.model.pitch, "log_hertz", Told(log, voiced))
    found = f0_of(model, [torch.zeros(1, 2000, 80)])
    assert found is not None
    assert math.exp(found.center) == pytest.approx(120.0, rel=0.02)
    assert found.spread == pytest.approx(0.2, rel=0.1)
    monkeypatch.setattr(model.model.pitch, "log_hertz", Told(log, torch.zeros(1, 2000)))
    assert f0_of(model, [torch.zeros(1, 2000, 80)]) is None


def test_a_melody_is_stretched_within_bounds() -> None:
    contour = torch.tensor([[[1.0, 1.0, 4.9], [-0.5, 1.0, 4.6], [0.0, 0.0, 0.0]]])
    found = stretched(contour, F0(4.8, 0.1), F0(5.3, 0.2))
    assert torch.allclose(found[..., 0], torch.tensor([[2.0, -1.0, 0.0]]))
    assert torch.equal(found[..., 1:], contour[..., 1:])
    moved = placed(found, F0(5.3, 0.2))
    assert torch.equal(moved[..., :2], found[..., :2])
    assert torch.allclose(moved[..., 2], torch.tensor([[5.7, 5.1, 0.0]]))
    assert placed(found, None) is found
    wide = stretched(contour, F0(4.8, 0.001), F0(5.3, 1.0))
    assert float(wide[0, 0, 0]) == 4.0


def test_statistics_lie_between_two_voices() -> None:
    between = F0(4.0, 0.1).towards(F0(5.0, 0.4), 0.5)
    assert between.center == 4.5 and between.spread == pytest.approx(0.2)


def test_a_run_that_reads_no_pitch_says_so() -> None:
    with pytest.raises(UserError, match=r"reads no pitch.*--model\.pitch True"):
        tiny(pitch=False).convert(speech(0.5), speech(1.0), Conversion(f0="statistics"))
