"""Corpora as they are released: LJSpeech, VCTK, LibriTTS, LibriSpeech, CMU ARCTIC."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import final

from seqvae.data.speech.layouts.files import (
    clean_text,
    folders_of,
    lines_of,
    name_in,
    sound_files,
    text_in,
)
from seqvae.data.speech.layouts.layout import Layout
from seqvae.data.speech.records import SpeechReport, Take, printable

_ARCTIC_FOLDER = re.compile(r"cmu_us_(\w+?)_arctic")
_ARCTIC_LINE = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)\s*$')


@final
class LjSpeech(Layout):
    """LJSpeech-1.1: metadata.csv with `id|as written|as spoken`, wavs/id.wav; one speaker."""

    name = "ljspeech"
    expects = "metadata.csv with lines id|text|normalised text, and wavs/id.wav"

    def matches(self, root: Path) -> bool:
        """Whether the first line is that of a single speaker's metadata.csv and its file is there."""
        if not (root / "metadata.csv").is_file() or not (root / "wavs").is_dir():
            return False
        first = next(lines_of(root / "metadata.csv", SpeechReport()), (0, ""))[1]
        fields = first.rstrip("\r\n").split("|")
        # `file|speaker|text` has as many fields, but a speaker's name has no spaces.
        return (
            len(fields) == 3
            and len(fields[1].split()) > 1
            and (root / "wavs" / f"{fields[0]}.wav").is_file()
        )

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every line, with the text as it is spoken."""
        speaker = printable(root.resolve().name) or "speaker"
        for number, line in lines_of(root / "metadata.csv", report):
            fields = line.split("|")
            if len(fields) < 2 or not fields[0]:
                report.skip(f"metadata.csv, line {number}", "not id|text|normalised text")
                continue
            path = root / "wavs" / f"{fields[0]}.wav"
            yield Take(path, name_in(root, path), speaker, clean_text(fields[-1] or fields[1]))


@final
class Vctk(Layout):
    """VCTK 0.92 (wav48_silence_trimmed, two microphones) and 0.80 (wav48), texts in txt.

    Of 0.92 the first microphone is taken, the second where the first is missing; speaker p315 has no texts.
    """

    name = "vctk"
    expects = "wav48_silence_trimmed/p225/p225_001_mic1.flac or wav48/p225/p225_001.wav, and txt/p225/*.txt"

    def matches(self, root: Path) -> bool:
        """Whether the folder of sounds is there."""
        return self._sounds(root) is not None

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every utterance once."""
        sounds = self._sounds(root)
        assert sounds is not None
        for folder in folders_of(sounds):
            chosen: dict[str, Path] = {}
            for path in sound_files(folder):
                # mic1 sorts before mic2.
                chosen.setdefault(re.sub(r"_mic[12]$", "", path.stem), path)
            for stem, path in sorted(chosen.items()):
                text = text_in(sounds.parent / "txt" / folder.name / f"{stem}.txt") or ""
                name = f"{printable(folder.name)}/{printable(stem)}{path.suffix}"
                yield Take(path, name, printable(folder.name), text)

    @staticmethod
    def _sounds(root: Path) -> Path | None:
        if not root.is_dir():
            return None
        for place in (root, *folders_of(root)):
            for name in ("wav48_silence_trimmed", "wav48"):
                if (place / name).is_dir() and (place / "txt").is_dir():
                    return place / name
        return None


@final
class LibriTts(Layout):
    """LibriTTS: [SPLIT/]SPEAKER/CHAPTER/x.wav with x.normalized.txt beside it."""

    name = "libritts"
    expects = "speaker/chapter/x.wav with x.normalized.txt beside it"

    def matches(self, root: Path) -> bool:
        """Whether the first sound file has a normalised text."""
        first = next(sound_files(root), None) if root.is_dir() else None
        return first is not None and first.with_suffix(".normalized.txt").is_file()

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every sound file, with its normalised or, without one, its original text."""
        for path in sound_files(root):
            text = text_in(path.with_suffix(".normalized.txt"))
            text = text or text_in(path.with_suffix(".original.txt")) or ""
            yield Take(path, name_in(root, path), _speaker_over_chapter(path), text)


@final
class LibriSpeech(Layout):
    """LibriSpeech: [SPLIT/]SPEAKER/CHAPTER/x.flac with SPEAKER-CHAPTER.trans.txt beside them."""

    name = "librispeech"
    expects = "speaker/chapter/x.flac with speaker-chapter.trans.txt beside them"

    def matches(self, root: Path) -> bool:
        """Whether the first sound file has a transcript of its chapter."""
        first = next(sound_files(root), None) if root.is_dir() else None
        return first is not None and self._transcript(first.parent).is_file()

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every sound file."""
        folder, texts = root, dict[str, str]()
        for path in sound_files(root):
            if path.parent != folder:
                folder, texts = path.parent, {}
                if self._transcript(folder).is_file():
                    for _, line in lines_of(self._transcript(folder), report):
                        stem, _, text = line.partition(" ")
                        texts[stem] = clean_text(text)
            text = texts.get(path.stem, "")
            yield Take(path, name_in(root, path), _speaker_over_chapter(path), text)

    @staticmethod
    def _transcript(chapter: Path) -> Path:
        return chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"


@final
class Arctic(Layout):
    """CMU ARCTIC: cmu_us_SPEAKER_arctic/wav/x.wav with etc/txt.done.data; several of them or one."""

    name = "arctic"
    expects = "cmu_us_bdl_arctic/wav/arctic_a0001.wav and cmu_us_bdl_arctic/etc/txt.done.data"

    def matches(self, root: Path) -> bool:
        """Whether a voice's folder is there, or is it."""
        return bool(self._voices(root))

    def takes(self, root: Path, report: SpeechReport) -> Iterator[Take]:
        """Every sound file."""
        for voice in self._voices(root):
            found = _ARCTIC_FOLDER.match(voice.resolve().name)
            speaker = found[1] if found else printable(voice.resolve().name)
            texts: dict[str, str] = {}
            table = voice / "etc" / "txt.done.data"
            if table.is_file():
                for number, line in lines_of(table, report):
                    entry = _ARCTIC_LINE.match(line.strip())
                    if entry is None:
                        report.skip(f"{speaker}/txt.done.data, line {number}", 'not ( id "text" )')
                        continue
                    texts[entry[1]] = clean_text(entry[2].replace('\\"', '"'))
            for path in sound_files(voice / "wav"):
                yield Take(
                    path, f"{speaker}/{printable(path.name)}", speaker, texts.get(path.stem, "")
                )

    @staticmethod
    def _voices(root: Path) -> list[Path]:
        if not root.is_dir():
            return []
        return [
            place
            for place in (root, *folders_of(root))
            if (place / "wav").is_dir()
            and (
                _ARCTIC_FOLDER.match(place.resolve().name)
                or (place / "etc/txt.done.data").is_file()
            )
        ]


def _speaker_over_chapter(path: Path) -> str:
    """SPEAKER of SPEAKER/CHAPTER/x.wav."""
    return printable(path.parent.parent.name)
