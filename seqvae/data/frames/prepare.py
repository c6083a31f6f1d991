"""Files of frames to a corpus, whole or not at all."""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seqvae.data.folder import META, read_meta
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.inputs import read_sequences
from seqvae.data.frames.sequences import Sequences
from seqvae.data.frames.write import Treatment, write_corpus
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError


@dataclass(frozen=True)
class FramesSettings:
    """How sequences of frames become a corpus, whatever they are read from."""

    divide: float = 1.0
    """All numbers are divided by it: 255 makes bytes fractions, for a Bernoulli likelihood."""

    binarise: float | None = None
    """Numbers above it, once divided, become 1, all others 0."""

    max_length: int = 1024
    """Longest sequence in frames; longer ones are skipped and counted."""

    valid: float = 0.1
    """Share held out for validation, chosen by a seeded hash of the sequence: equal ones stay together."""

    test: float = 0.1
    """Share held out for testing, without test inputs."""

    most_held_out: int = 5000
    """Most sequences held out for validation, and for testing."""

    unseen: tuple[str, ...] = ()
    """Labels whose sequences all go to the test split: what a model has never seen, to detect."""

    seed: int = 0
    """Of the split."""

    overwrite: bool = False
    """Replace OUT if it holds another corpus."""

    def __post_init__(self) -> None:
        """Refuse values that leave nothing, naming the option."""
        if not abs(self.divide) > 0.0:
            raise UserError(f"--divide must not be 0, got {self.divide}")
        if not 1 <= self.max_length <= 65_536:
            raise UserError(f"--max-length must be from 1 to 65536 frames, got {self.max_length}")
        if min(self.valid, self.test) < 0.0 or self.valid + self.test >= 1.0:
            raise UserError(
                f"--valid {self.valid} and --test {self.test}: shares from 0, together below 1"
            )
        if self.most_held_out < 1:
            raise UserError(f"--most-held-out must be at least 1, got {self.most_held_out}")


@dataclass(frozen=True)
class PrepareFrames(FramesSettings):
    """Turn arrays, images or time series into a corpus to train on."""

    inputs: tuple[Path, ...] = ()
    """Files: .npy [sequences, steps, features] or [sequences, steps]; .npz with the same as `values`, `lengths`
    where they vary, and `labels`; idx, as MNIST comes; .csv or .parquet."""

    out: Path = Path()
    """Folder to write."""

    labels: tuple[Path, ...] = ()
    """.npy or idx with a label of each sequence, one file for each input."""

    test_inputs: tuple[Path, ...] = ()
    """Files for testing instead of a share."""

    test_labels: tuple[Path, ...] = ()
    """Labels of the test inputs."""

    series: str | None = None
    """Of tables, the column that says which sequence a row belongs to, a row being a frame; by default a row is a
    whole sequence of scalars."""

    label: str | None = None
    """Of tables, the column with the label."""


def to_stderr(notice: str) -> None:
    """Print a notice beside the bars of progress."""
    tqdm.write(notice, file=sys.stderr)


def prepare_frames(config: PrepareFrames, say: Callable[[str], None] = to_stderr) -> FramesCorpus:
    """Prepare a corpus of frames.

    Sequences with a number that is not finite, without frames or too long never stop it: they are counted, and
    the first thousand are listed in OUT/skipped.jsonl. The result is the same, byte for byte, for the same input
    and settings. Arrays of .npy are mapped, not read whole.

    Args:
        config: what to do.
        say: gets notices for the user, one line each.

    Raises:
        UserError: unusable input, or something else at `config.out`.
    """
    if not config.inputs:
        raise UserError("prepare frames IN... OUT: name an input file")
    found = _read(config.inputs, config.labels, config)
    held = _read(config.test_inputs, config.test_labels, config)
    return prepare_sequences(found, held, config, config.out, say)


def prepare_sequences(
    found: Sequence[Sequences],
    held: Sequence[Sequences],
    settings: FramesSettings,
    out: Path,
    say: Callable[[str], None] = to_stderr,
) -> FramesCorpus:
    """Prepare a corpus of sequences that are read already; see `prepare_frames`.

    Args:
        found: to train on; a share of them is held out.
        held: to test on; none: a share of `found`.
        settings: how.
        out: folder to write.
        say: gets notices for the user, one line each.

    Raises:
        UserError: features or labels differ, nothing usable is left, or something else lies at `out`.
    """
    chosen = {name: value for name, value in asdict(settings).items() if name in _CHOICES}
    sources = [
        {"name": source.name, "sha256": _digest(source), "test": group is held}
        for group in (found, held)
        for source in group
    ]
    facts = {"settings": json.loads(json.dumps(chosen)), "sources": sources}
    if out.exists() and not _may_replace(out, facts, settings.overwrite):
        say(f"{out}: already prepared with this input and these settings")
        return FramesCorpus.open(out)
    workspace = Workspace(out)
    with workspace.hold(""):
        workspace.results.mkdir()
        treatment = Treatment(**{name: chosen[name] for name in _CHOICES})
        try:
            left_out = write_corpus(workspace.results, found, held, treatment, facts)
        except UserError:
            workspace.discard()
            raise
        workspace.publish()
    for reason, count in sorted(left_out.items()):
        say(f"{count:,} sequences skipped: {reason}; see {out / 'skipped.jsonl'}")
    return FramesCorpus.open(out)


# Of the settings, those that the corpus follows from.
_CHOICES = [field.name for field in fields(Treatment)]


def _read(inputs: Sequence[Path], labels: Sequence[Path], config: PrepareFrames) -> list[Sequences]:
    if labels and len(labels) != len(inputs):
        raise UserError(
            f"{len(labels)} files of labels for {len(inputs)} of frames; give one for each"
        )
    beside: Sequence[Path | None] = labels or [None] * len(inputs)
    return [
        read_sequences(path, own, config.series, config.label)
        for path, own in zip(inputs, beside, strict=True)
    ]


def _digest(source: Sequences) -> str:
    digest = hashlib.sha256(str((source.values.dtype.str, source.values.shape)).encode())
    step = max(1, (1 << 22) // source.features)
    for start in range(0, len(source.values), step):
        digest.update(source.values[start : start + step].tobytes())
    digest.update(source.lengths.tobytes())
    digest.update(json.dumps(source.labels).encode())
    return digest.hexdigest()


def _may_replace(out: Path, facts: dict[str, Any], overwrite: bool) -> bool:
    """False if `out` already is what is asked for."""
    if not out.is_dir():
        raise UserError(f"{out}: a file is in the way; choose another output folder")
    if not any(out.iterdir()):
        return True
    if not (out / META).is_file():
        raise UserError(
            f"{out}: holds something that is not a corpus; choose another output folder"
        )
    if overwrite:
        return True
    meta = read_meta(out, "frames")
    for name, value in facts["settings"].items():
        before = meta["settings"].get(name)
        if before != value:
            raise UserError(
                f"{out}: holds another corpus ({name} was {before}, is {value}); pass --overwrite to replace it"
            )
    if meta["sources"] != facts["sources"]:
        raise UserError(
            f"{out}: holds another corpus (the input differs); pass --overwrite to replace it"
        )
    return False
