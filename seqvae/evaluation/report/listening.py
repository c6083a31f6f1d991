"""Sounds and their spectrograms as parts of a page that loads nothing."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from seqvae.data.speech.mel_settings import MelSettings, hertz_to_mel
from seqvae.errors import UserError
from seqvae.evaluation.report import svg
from seqvae.evaluation.report.html import Html, element
from seqvae.evaluation.report.svg import INK

Floats = np.ndarray[Any, np.dtype[np.float32]]
# What is softer than this part of the loudest bin is drawn alike: 80 dB.
RANGE = np.log(1e4)
TICKS = (500, 1000, 2000, 4000)
# Height of one spectrogram in the drawing's units.
HEIGHT = 105


def player(samples: Floats, rate: int, words: str) -> Html:
    """A player with the sound in it, as FLAC: lossless, known to every browser, half of WAV's size.

    Args:
        samples: [N] in [-1, 1].
        rate: Hz.
        words: what one hears.

    Raises:
        UserError: soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise UserError(
            "sounds in a report need soundfile: pip install 'seqvae[speech]'"
        ) from error
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    content = base64.b64encode(file.getvalue()).decode()
    # Fetched when played: a page has dozens.
    return element(
        "audio",
        controls="controls",
        preload="none",
        src=f"data:audio/flac;base64,{content}",
        aria_label=words,
    )


def spectrograms(
    rows: Sequence[tuple[str, Floats]], settings: MelSettings, name: str, words: str
) -> Html:
    """Log-mel spectrograms below each other, on one scale of time and one of loudness.

    Args:
        rows: title and frames [T, mels] each.
        settings: of the frames.
        name: prefix of the ids in the drawing, unique on the page.
        words: what a reader who cannot see it should know.
    """
    loudest = max(float(frames.max()) for _, frames in rows)
    longest = max(len(frames) for _, frames in rows) / settings.frame_rate
    ends = hertz_to_mel(np.array([settings.low, settings.high]))
    shown = [hertz for hertz in TICKS if settings.low <= hertz <= settings.high]
    at = (hertz_to_mel(np.array(shown, float)) - ends[0]) / (ends[1] - ends[0]) * settings.mels
    with svg.style():
        drawing = svg.new_figure(HEIGHT * len(rows))
        for axes, (title, frames) in zip(
            drawing.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0], rows, strict=True
        ):
            axes.imshow(
                frames.T,
                origin="lower",
                aspect="auto",
                interpolation="none",
                cmap="magma",
                vmin=loudest - RANGE,
                vmax=loudest,
                extent=(0, len(frames) / settings.frame_rate, 0, settings.mels),
            )
            axes.set_xlim(0, longest)
            axes.grid(False)
            axes.set_title(title, loc="left", color=INK["soft"], fontsize=11)
            axes.set_yticks(at, [f"{hertz / 1000:g}" for hertz in shown], fontsize=9)
        axes.set_xlabel("seconds (upwards: kHz)")
        axes.xaxis.set_major_locator(MaxNLocator(7))
        return svg.inline(drawing, name, words)
