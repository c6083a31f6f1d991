"""The default: a folder for each speaker."""

from collections.abc import Iterator
from pathlib import Path
from typing import final

from seqvae.data.speech.layouts.files import name_in, sound_files, text_in
from seqvae.data.speech.layouts.layout import Layout
from seqvae.data.speech.records import SpeechReport, Take, printable, speaker_of


@final
class FolderPerSpeaker(Layout):
    """ROOT/SPEAKER/**/x.wav; files that lie in ROOT itself are of one speaker, called like ROOT.

    A file x.txt or x.lab beside x.wav holds what is said. Folders called train, wav and the like are looked
    through.
    """

    name = "folder"
    expects = "a folder for each speaker with sound files in it, or sound files of one speaker"

    def matches(self, root: Path) -> bool:
        """Whether there is any sound file."""
        return root.is_dir() and next(sound_files(root), None) is not None

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every sound file."""
        default = printable(root.resolve().name) or "speaker"
        for path in sound_files(root):
            name = name_in(root, path)
            text = text_in(path.with_suffix(".txt")) or text_in(path.with_suffix(".lab")) or ""
            yield Take(path, name, speaker_of(name, default), text)
