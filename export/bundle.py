"""A bundle: the folder that `seqvae export` writes and every runtime reads; checked when opened."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from seqvae.errors import UserError
from seqvae.export.bundle_graph import WEIGHTS, check_graph
from seqvae.export.bundle_json import MAX_FILES
from seqvae.export.bundle_manifest import (
    DOCUMENT,
    MODEL,
    PACKAGE,
    File,
    Manifest,
    Variant,
    package,
    read_json,
    read_manifest,
)

PIECES = "tokenizer/pieces.json"
TOKENIZER = "tokenizer/tokenizer.model"
GOLDEN = "golden.json"


@dataclass(frozen=True)
class Written:
    """One text that a graph wrote."""

    text: str
    ids: tuple[int, ...]
    log_prob: float
    complete: bool


@dataclass(frozen=True)
class GoldenRow:
    """An input whose outputs are known.

    Attributes:
        name: what it stands for.
        text: the input.
        options: of the row; those left out have their defaults.
        written: the output of each variant, as ONNX Runtime's CPU provider computed it at export.
            That of cpu-fp32 is PyTorch's too.
    """

    name: str
    text: str
    options: dict[str, float]
    written: Mapping[str, Written]


@dataclass(frozen=True, kw_only=True)
class Bundle(Manifest):
    """A manifest and the folder that it describes; see `Bundle.open`.

    Attributes:
        path: the folder, links in its own path resolved.
    """

    path: Path = field(default=Path())

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> "Bundle":
        """Open a bundle, and trust nothing in it before it is checked.

        The files present are exactly those listed, none is a link, each has its listed size, and no
        graph names a file outside itself and its variant's weights.

        Args:
            path: the folder.
            verify: also compare the sha256 of every file; without, opening reads no weights.

        Raises:
            UserError: not a bundle, of another format, damaged, or altered.
        """
        # Only the way to the folder may be a link (a `current` beside its versions).
        root = Path(os.path.realpath(path))
        if not root.is_dir():
            raise UserError(f"{path}: no such folder; name one that `seqvae export` wrote")
        manifest = read_manifest(root / DOCUMENT)
        bundle = cls(path=root, **vars(manifest))
        sizes = dict(_files(root))
        _compare(root, sizes, manifest.files)
        if verify:
            for name, file in manifest.files.items():
                _check_digest(root / name, file)
        if read_json(root / PACKAGE) != package(manifest):
            raise UserError(f"{root / PACKAGE}: it does not describe this bundle; export it again")
        for name in manifest.files:
            if name.endswith(".onnx") and check_graph(root / name):
                weights = f"{name.rpartition('/')[0]}/{WEIGHTS}"
                if weights not in manifest.files:
                    raise UserError(f"{root / name}: its weights, {weights}, are not in the bundle")
        return bundle

    def variant(self, name: str | None = None) -> Variant:
        """A variant by name; the default one without.

        Raises:
            UserError: the bundle has none of this name.
        """
        wanted = self.default_variant if name is None else name
        if wanted not in self.variants:
            raise UserError(
                f"{self.path}: no variant {wanted!r}; it has {', '.join(self.variants)}"
            )
        return self.variants[wanted]

    def part(self, variant: str | None, name: str = MODEL) -> Path:
        """The file of a graph.

        Raises:
            UserError: the variant has no such graph.
        """
        parts = self.variant(variant).parts
        if name not in parts:
            raise UserError(
                f"{self.path}: variant {variant or self.default_variant} has no part {name!r}; "
                f"it has {', '.join(parts)}"
            )
        return self.path / (variant or self.default_variant) / f"{name}.onnx"

    @cached_property
    def pieces(self) -> list[str]:
        """The piece of every id, in order.

        Raises:
            UserError: the list does not fit the vocabulary.
        """
        path = self.path / PIECES
        values = read_json(path)
        if (
            not isinstance(values, list)
            or len(values) != self.vocabulary
            or not all(isinstance(value, str) for value in values)
        ):
            raise UserError(f"{path}: not a list of {self.vocabulary} strings; export again")
        return values

    @cached_property
    def golden(self) -> list[GoldenRow]:
        """Inputs with their known outputs.

        Raises:
            UserError: the file is not as `seqvae export` writes it.
        """
        path = self.path / GOLDEN
        try:
            return [_golden_row(row) for row in read_json(path)["rows"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: not golden rows ({error}); export again") from None


def golden_document(rows: list[GoldenRow]) -> dict[str, Any]:
    """The JSON value of `golden.json`."""
    return {
        "rows": [
            {
                "name": row.name,
                "text": row.text,
                "options": row.options,
                "written": {name: vars(w) for name, w in row.written.items()},
            }
            for row in rows
        ]
    }


def _golden_row(row: dict[str, Any]) -> GoldenRow:
    written = {
        name: Written(
            str(w["text"]), tuple(map(int, w["ids"])), float(w["log_prob"]), bool(w["complete"])
        )
        for name, w in row["written"].items()
    }
    return GoldenRow(str(row["name"]), str(row["text"]), dict(row["options"]), written)


def _files(root: Path) -> Iterator[tuple[str, int]]:
    """Relative path and size of every file; links and special files are refused, empty folders too."""
    pending, count = [root], 0
    while pending:
        folder = pending.pop()
        entries = list(os.scandir(folder))
        if not entries and folder != root:
            raise UserError(f"{folder}: an empty folder is no part of a bundle; delete it")
        for entry in entries:
            count += 1
            if count > 2 * MAX_FILES:
                raise UserError(f"{root}: more than {MAX_FILES} files; it is not a bundle")
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                pending.append(Path(entry.path))
            elif stat.S_ISREG(status.st_mode):
                yield Path(entry.path).relative_to(root).as_posix(), status.st_size
            else:
                raise UserError(
                    f"{entry.path}: a link or a special file; a bundle has plain files only: copy "
                    "it with its links followed"
                )


def _compare(root: Path, sizes: dict[str, int], files: Mapping[str, File]) -> None:
    absent = files.keys() - sizes.keys()
    if absent:
        raise UserError(f"{root / min(absent)}: missing; copy the whole bundle again")
    extra = sizes.keys() - files.keys() - {DOCUMENT}
    if extra:
        raise UserError(f"{root / min(extra)}: not listed in {DOCUMENT}; delete it")
    for name, file in files.items():
        if sizes[name] != file.bytes:
            raise UserError(
                f"{root / name}: {sizes[name]:,} bytes instead of {file.bytes:,}: truncated or "
                "altered; copy the bundle again"
            )


def _check_digest(path: Path, file: File) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        raise UserError(
            f"{path}: its sha256 is {digest[:12]}..., not {file.sha256[:12]}...: damaged or "
            "altered; copy the bundle again"
        )
