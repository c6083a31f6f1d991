"""An hour takes no more memory than a minute, and a file cut into windows sounds as a whole one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from seqvae.tasks.chunks import Chunking
from seqvae.tasks.speech_model import SpeechModel
from tests.tasks.speech.conftest import tiny, write_run
from tests.tasks.speech.sounds import RATE, babble, speech

# Prints the peak of the resident memory, in kB, after converting a file of so many minutes.
SCRIPT = """
import resource, sys
from seqvae.cli import main
code = main(["convert", *sys.argv[1:]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(run: Path, source: Path, target: Path, out: Path) -> float:
    """Megabytes at the most while a file is converted by a process of its own."""
    words = [str(run), str(source), "--voice", str(target), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True
    )
    code, kilobytes = done.stdout.split()[-2:]
    assert code == "0"
    return int(kilobytes) / 1024


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tiny())
    second = np.rint(babble(10.0) * 32767).astype(np.int16)
    target = tmp_path / "target.wav"
    soundfile.write(target, second, RATE)
    used = []
    for minutes in (2, 12):
        source = tmp_path / f"{minutes}.wav"
        soundfile.write(source, np.tile(second, 6 * minutes), RATE)
        used.append(peak(run, source, target, tmp_path / "out"))
        assert soundfile.info(tmp_path / "out" / source.name).frames == minutes * 60 * RATE
    # Held whole, 10 minutes more would be 38 MB of samples and 300 MB of frames and states. An hour may
    # take 60 / 10 times what 10 minutes do.
    assert used[1] - used[0] < 15.0


def test_windows_sound_as_the_whole() -> None:
    # What is normalised over time differs from window to window; networks without it do not.
    model: SpeechModel = tiny(pitch=False)
    source = speech(40.0)
    voice = model.voice(speech(2.0, 200.0))
    whole = model.convert(source, voice, chunking=Chunking(seconds=60.0))
    cut = model.convert(source, voice, chunking=Chunking(seconds=15.0))
    frames = [model.mel(torch.from_numpy(s.samples)[None]) for s in (whole, cut)]
    difference = (frames[0] - frames[1]).abs().mean()
    other = model.convert(speech(40.0, seed=1), voice)
    unlike = (frames[0] - model.mel(torch.from_numpy(other.samples)[None])).abs().mean()
    assert float(difference) < 0.2 * float(unlike)
