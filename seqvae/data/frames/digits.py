"""Handwritten digits as sequences of rows: scikit-learn's 8 x 8, or MNIST where its files are given."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.inputs import read_sequences
from seqvae.data.frames.prepare import FramesSettings, prepare_sequences, to_stderr
from seqvae.data.frames.sequences import Sequences, from_array
from seqvae.errors import UserError

# Greatest grey value of scikit-learn's digits: counts of a 4 x 4 block of pixels.
GREATEST = 16.0


@dataclass(frozen=True)
class PrepareDigits(FramesSettings):
    """Turn handwritten digits into a corpus to train on: frames are the rows of an image, from 0 to 1."""

    out: Path = Path()
    """Folder to write."""

    images: Path | None = None
    """MNIST's images, train-images-idx3-ubyte(.gz), divided by 255; by default the 1797 digits of 8 x 8 pixels
    that come with scikit-learn (pip install 'seqvae[digits]'), divided by 16."""

    labels: Path | None = None
    """MNIST's labels, train-labels-idx1-ubyte(.gz)."""

    divide: float = 0.0
    """Grey values are divided by it; 0: by the greatest there is."""

    def __post_init__(self) -> None:
        """See `FramesSettings`; 0 is the greatest value here."""
        FramesSettings(**self.settings(1.0))

    def settings(self, greatest: float) -> dict[str, Any]:
        """Those of `FramesSettings`, for grey values up to `greatest`."""
        chosen = {field.name: getattr(self, field.name) for field in fields(FramesSettings)}
        return chosen | {"divide": self.divide or greatest}


def prepare_digits(config: PrepareDigits, say: Callable[[str], None] = to_stderr) -> FramesCorpus:
    """Prepare a corpus of digits; see `prepare_frames`.

    Raises:
        UserError: scikit-learn is missing, MNIST's files are unusable, or something else at `config.out`.
    """
    if config.images is None:
        if config.labels is not None:
            raise UserError("--labels belongs to --images, which is not given")
        found, greatest = scikit_digits(), GREATEST
    else:
        found, greatest = read_sequences(config.images, config.labels), 255.0
    settings = FramesSettings(**config.settings(greatest))
    return prepare_sequences([found], [], settings, config.out, say)


def scikit_digits() -> Sequences:
    """The 1797 digits of 8 x 8 grey values from 0 to 16 that come with scikit-learn (UCI, Alpaydin and Kaynak 1998).

    Raises:
        UserError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError(
            "the digits come with scikit-learn: pip install 'seqvae[digits]', or name MNIST's files with "
            "--images and --labels"
        ) from None
    digits = load_digits()
    return from_array("scikit-learn digits", digits.images, labels=digits.target)
