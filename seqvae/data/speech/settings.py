"""What the user chooses when preparing speech."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from seqvae.data.speech.layouts import LayoutName
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.trim import Trim
from seqvae.data.speech.utterances import Treatment
from seqvae.errors import UserError

Group = Literal["auto", "text", "file", "recording"]


@dataclass(frozen=True)
class PrepareSpeech:
    """Turn recordings into a corpus to train on: shards of sound and log-mel frames, and dataset.json."""

    inputs: tuple[str, ...]
    """Folders, tables, manifests (.jsonl), parquet files; hf:NAME[:SPLIT] for a data set of the hub."""

    out: Path
    """Folder to write; built beside it as OUT.partial."""

    layout: LayoutName = "auto"
    """How recordings are arranged; found out and said. folder: one folder per speaker."""

    texts: Path | None = None
    """Table with lines ID<TAB>TEXT of what is said; an ID is a file's name without ending."""

    trim: Trim = "ends"
    """Silence to take away: none; what is before and after speech; or also all but 0.3 s of each pause."""

    max_seconds: float = 30.0
    """Longer recordings are cut at pauses into pieces no longer than this; their texts are dropped."""

    min_seconds: float = 0.1
    """Shorter recordings are left out, before or after trimming."""

    max_clipped: float = 0.01
    """Recordings of which more than this share of the samples is clipped are left out."""

    valid: float = 0.05
    """Prompts held out for validation: a share of the recordings, or from 1 on a number of prompts."""

    test: float | None = None
    """Prompts held out for testing, likewise [default 0.05; 0 if --test-prompts names them]."""

    valid_prompts: tuple[str, ...] = ()
    """Prompts for validation: names of files without ending, texts, or patterns as 'a0[12]*'; or a file of them."""

    test_prompts: tuple[str, ...] = ()
    """Prompts for testing, likewise."""

    test_speakers: tuple[str, ...] = ()
    """Speakers of whom everything goes to testing: names, patterns, or a file of them."""

    test_speaker_count: int = 0
    """So many more such speakers, drawn from the half with the fewest recordings."""

    group: Group = "auto"
    """What is one prompt and stays in one split. auto: recordings of the same text; without texts those of the
    same file name, if speakers share file names."""

    seed: int = 0
    """Of what is held out."""

    mel: MelSettings = field(default_factory=MelSettings)
    """Frames; models, vocoders and exported files made from the corpus keep to them."""

    workers: int = 0
    """Processes; 0 is one for each processor. The result does not depend on it."""

    overwrite: bool = False
    """Replace OUT if it holds another corpus."""

    def __post_init__(self) -> None:
        """Refuse values that make no corpus, naming the option."""
        limits: dict[str, tuple[float, float, float]] = {
            "max_seconds": (self.max_seconds, 1.0, 600.0),
            "min_seconds": (self.min_seconds, 0.02, self.max_seconds),
            "max_clipped": (self.max_clipped, 0.0, 1.0),
            "valid": (self.valid, 0.0, 1e7),
            "test": (self.test or 0.0, 0.0, 1e7),
            "test_speaker_count": (self.test_speaker_count, 0, 1e6),
            "workers": (self.workers, 0, 1024),
            "seed": (self.seed, 0, 1 << 62),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UserError(
                    f"--{name.replace('_', '-')}: {value:g} is not between {low:g} and {high:g}"
                )
        for name, share in (("valid", self.valid), ("test", self.test_quota)):
            if 0.5 < share < 1.0 or (share >= 1.0 and share != int(share)):
                raise UserError(
                    f"--{name}: {share:g} is neither a share up to 0.5 nor a whole number of prompts"
                )

    @property
    def test_quota(self) -> float:
        """Prompts for testing that are drawn: a share below 1, a number from 1 on."""
        if self.test is not None:
            return self.test
        return 0.0 if self.test_prompts else 0.05

    @property
    def treatment(self) -> Treatment:
        """What is done to each recording."""
        return Treatment(self.mel, self.trim, self.max_seconds, self.min_seconds, self.max_clipped)


# Settings that do not change what is written, or do so through what is found with them.
_NEUTRAL = ("inputs", "out", "layout", "texts", "workers", "overwrite", "mel")


def settings_of(config: PrepareSpeech) -> dict[str, Any]:
    """The settings that shape a corpus, as JSON values; the mel settings stand apart in dataset.json."""
    settings = {key: value for key, value in asdict(config).items() if key not in _NEUTRAL}
    names = ("valid_prompts", "test_prompts", "test_speakers")
    return (
        settings
        | {"test": config.test_quota}
        | {name: named(getattr(config, name)) for name in names}
    )


def named(given: tuple[str, ...]) -> list[str]:
    """Names and patterns, those of files in their place.

    Raises:
        UserError: a file of names cannot be read.
    """
    names: list[str] = []
    for item in given:
        path = Path(item)
        if not path.is_file():
            names.append(item)
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not a readable list of names ({error})") from error
        names += [line.strip() for line in lines if line.strip()]
    return names
