"""What a layout is: a way to arrange recordings in a folder, with who speaks and what is said."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from seqvae.data.speech.records import SpeechReport, Take


class Layout(ABC):
    """A way to arrange recordings.

    Attributes:
        name: by which the user chooses it.
        expects: what it looks like, in a line.
    """

    name: ClassVar[str]
    expects: ClassVar[str]

    @abstractmethod
    def matches(self, root: Path) -> bool:
        """Whether a folder or file is arranged so."""

    @abstractmethod
    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """The recordings, in a fixed order; unusable lines go to the report."""
