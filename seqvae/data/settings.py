"""What the user chooses when preparing text."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from seqvae.data.normalise import Normalisation
from seqvae.data.text import ModelType
from seqvae.errors import UserError


@dataclass(frozen=True)
class PrepareText:
    """Turn text into a corpus to train on: a tokenizer, shards of tokens, and dataset.json that describes them."""

    inputs: tuple[str, ...]
    """Files (.txt .smi .jsonl .csv .tsv .parquet, each also .gz), folders of them, - for standard input, hf:NAME[:SPLIT]."""

    out: Path
    """Folder to write; built beside it as OUT.partial, which takes about three times the text on disk."""

    field: str = "text"
    """Text field of .jsonl, and the text column of tables that have one of this name."""

    columns: tuple[str, ...] = ()
    """Text columns of .csv, .tsv, .parquet and .jsonl: one, or two for pairs (source and target)."""

    explode: bool = False
    """Make every text column a line of its own; the lines of a row stay in one split."""

    label: str | None = None
    """Column with a label for each line."""

    attributes: tuple[str, ...] = ()
    """Further columns that a conditional model shall be told: names, or with :number behind the column's name numbers."""

    header: bool = True
    """The first row of .csv and .tsv names the columns; without one they are called 1, 2, ..."""

    vocab_size: int = 4096
    """Pieces of the tokenizer; a corpus too small for that many gets fewer."""

    model_type: ModelType = "unigram"
    """How the tokenizer splits text."""

    byte_fallback: bool = True
    """Spend 256 pieces on raw bytes, so that any text survives, rare characters included."""

    character_coverage: float = 0.9995
    """Share of the characters that get a piece of their own."""

    tokenizer: Path | None = None
    """Use this sentencepiece .model, or that of a prepared corpus, with its own normalisation."""

    tokenizer_sample: int = 500_000
    """Most training lines that the tokenizer is trained on (and at most 24 MB of them)."""

    normalisation: Normalisation = "nfkc"
    """Unicode normalisation. nfkc also removes control characters; nfkc and nfc squeeze white space."""

    lowercase: bool = False
    """Fold case."""

    max_length: int = 254
    """Longest sequence in tokens, start and end not counted; longer ones are skipped and counted."""

    min_length: int = 1
    """Shortest sequence in tokens."""

    valid: float = 0.05
    """Share held out for validation, chosen by a seeded hash of the text."""

    test: float = 0.05
    """Share held out for testing."""

    most_held_out: int = 5000
    """Most lines held out for validation, and for testing."""

    valid_inputs: tuple[str, ...] = ()
    """Files for validation instead of a share; training lines that occur in them are dropped."""

    test_inputs: tuple[str, ...] = ()
    """Files for testing instead of a share; training and validation lines that occur in them are dropped."""

    deduplicate: bool = True
    """Drop repeated training lines (compared after normalisation)."""

    unseen_labels: Literal["error", "skip"] = "error"
    """What to do with validation and test lines whose label no training line has."""

    seed: int = 0
    """Of the split."""

    shard_size: int = 1 << 24
    """Tokens in a shard; one shard is held in memory (4 bytes a token, three times over)."""

    workers: int = 1
    """Threads that encode; the result does not depend on it."""

    max_line_bytes: int = 1 << 20
    """Longer lines are skipped and counted."""

    overwrite: bool = False
    """Replace OUT if it holds another corpus."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float, float]] = {
            "vocab_size": (self.vocab_size, 6, 1 << 20),
            "character_coverage": (self.character_coverage, 0.5, 1.0),
            "tokenizer_sample": (self.tokenizer_sample, 1, 1 << 32),
            "max_length": (self.max_length, 1, 1 << 20),
            "min_length": (self.min_length, 1, self.max_length),
            "valid": (self.valid, 0.0, 0.5),
            "test": (self.test, 0.0, 0.4),
            "most_held_out": (self.most_held_out, 1, 1 << 24),
            "shard_size": (self.shard_size, 1, 1 << 28),
            "workers": (self.workers, 1, 1024),
            "max_line_bytes": (self.max_line_bytes, 1, 1 << 28),
            "seed": (self.seed, 0, 1 << 62),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UserError(
                    f"--{name.replace('_', '-')}: {value} is not between {low} and {high}"
                )


# Settings that do not change what is written.
_NEUTRAL = ("inputs", "out", "valid_inputs", "test_inputs", "workers", "overwrite")


def settings_of(config: PrepareText, model: bytes | None) -> dict[str, Any]:
    """Return the settings that shape a corpus, as JSON values.

    Args:
        config: the user's choice.
        model: the tokenizer that was given, named by its hash.
    """
    settings = {key: value for key, value in asdict(config).items() if key not in _NEUTRAL}
    settings |= {name: list(settings[name]) for name in ("columns", "attributes")}
    settings["tokenizer"] = None if model is None else hashlib.sha256(model).hexdigest()
    return settings
