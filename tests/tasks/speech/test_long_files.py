"""An hour takes no more memory than a minute, and a file cut into windows sounds as a whole one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from seqvae.tasks.chunks import Chunking
from seqvae.tasks.convert import convert
from seqvae.tasks.recording import Recording
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.voice import Voice
from tests.tasks.speech.conftest import tiny
from tests.tasks.speech.sounds import RATE, babble, speech

MINUTES = 12
RESIDENT = Path("/proc/self/statm")


def megabytes() -> float:
    """Resident memory of this process; pages are of 4 kB."""
    return int(RESIDENT.read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not RESIDENT.exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_length(tmp_path: Path, model: SpeechModel) -> None:
    some = np.rint(babble(10.0) * 32767).astype(np.int16)
    soundfile.write(tmp_path / "long.wav", np.tile(some, 6 * MINUTES), RATE)
    recording = Recording(tmp_path / "long.wav", model.settings)
    assert recording.seconds == 60 * MINUTES
    voice = Voice("x", torch.zeros(32))
    used = [megabytes() for _ in convert(model, recording, voice)]
    # Of these minutes the samples alone are 46 MB, frames and states some hundred; a window's memory
    # goes up and down by 15 MB.
    assert len(used) > 20 and max(used[12:]) - max(used[:12]) < 23.0


def test_windows_sound_as_the_whole() -> None:
    # What is normalised over time differs from window to window, and so do frames, a little.
    model = tiny(pitch=False)
    source, voice = speech(40.0), model.voice(speech(2.0, 200.0))
    whole = model.convert(source, voice, chunking=Chunking(seconds=60.0))
    cut = model.convert(source, voice, chunking=Chunking(seconds=15.0))
    frames = [model.mel(torch.from_numpy(s.samples)[None]) for s in (whole, cut)]
    difference = (frames[0] - frames[1]).abs().mean()
    other = model.convert(speech(40.0, seed=1), voice)
    unlike = (frames[0] - model.mel(torch.from_numpy(other.samples)[None])).abs().mean()
    assert float(difference) < 0.2 * float(unlike)
