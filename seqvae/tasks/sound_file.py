"""Sound files written a block at a time, so that an hour takes no more memory than a minute."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seqvae.data.speech.audio import import_soundfile
from seqvae.errors import UserError
from seqvae.tasks.chunks import Array


def write_blocks(path: Path, blocks: Iterable[Array], rate: int) -> int:
    """Write a WAV file of 16-bit samples that appears whole or not at all; returns its samples.

    Args:
        path: where; folders that lack are made.
        blocks: consecutive samples, float32 [n] each; what is beyond [-1, 1] is clipped.
        rate: samples per second, Hz.

    Raises:
        UserError: it cannot be written. What making the blocks raises passes through.
    """
    soundfile = import_soundfile()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(partial, "w", rate, 1, "PCM_16", format="WAV") as file:
            for block in blocks:
                # The reader divides by 2^15: what was read is written back bit by bit.
                numbers = np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16)
                file.write(numbers)
                count += len(block)
        partial.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot write it ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return count
