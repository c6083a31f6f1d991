"""The folder that `prepare` writes: dataset.json and the files it names, checked before they are believed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from seqvae.data.storage import file_sha256
from seqvae.errors import UserError

META = "dataset.json"
Modality = Literal["text", "speech", "frames"]
"""What a corpus is made of."""
FORMATS: dict[Modality, tuple[str, int]] = {
    "text": ("seqvae-text-corpus", 1),
    "speech": ("seqvae-speech-corpus", 1),
    "frames": ("seqvae-frames-corpus", 1),
}
"""`format` and `version` of dataset.json."""

# Below this size all files are hashed when a corpus is opened (a fraction of a second).
_ALWAYS_VERIFY = 128 << 20
_LARGEST_META = 64 << 20


def modality_of(folder: str | Path) -> Modality:
    """What a prepared corpus is made of.

    Raises:
        UserError: no corpus there, or not one of ours.
    """
    meta = _load(Path(folder), "prepare it with `seqvae prepare`")
    for modality, (name, _) in FORMATS.items():
        if meta.get("format") == name:
            return modality
    raise UserError(f"{Path(folder) / META}: not a seqvae corpus; prepare it with `seqvae prepare`")


def read_meta(folder: Path, modality: Modality) -> dict[str, Any]:
    """Read and check dataset.json.

    Raises:
        UserError: missing, of another modality or format version, or edited.
    """
    name, version = FORMATS[modality]
    path, again = folder / META, again_with(modality)
    meta = _load(folder, again)
    if meta.get("format") != name:
        others = {form: other for other, (form, _) in FORMATS.items()}
        other = others.get(str(meta.get("format")))
        if other:
            raise UserError(f"{folder}: a corpus of {other}, this needs one of {modality}")
        raise UserError(f"{path}: not a seqvae {modality} corpus; {again}")
    if meta.get("version") != version:
        raise UserError(
            f"{path}: corpus format version {meta.get('version')}, this seqvae reads {version}; {again}"
        )
    if fingerprint_of(meta) != meta.get("fingerprint"):
        raise UserError(f"{path}: edited since the corpus was prepared; {again}")
    return meta


def fingerprint_of(meta: Mapping[str, Any]) -> str:
    """Digest of dataset.json's content but for the fingerprint itself."""
    content = {key: value for key, value in meta.items() if key != "fingerprint"}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def check_files(
    folder: Path, files: Iterable[Mapping[str, Any]], again: str, verify: bool | None = None
) -> None:
    """Check that the files that dataset.json names are what they were.

    Args:
        folder: of the corpus.
        files: name, bytes and sha256 of each.
        again: advice on what to do if not.
        verify: compare hashes; by default only when that takes no noticeable time, else sizes.

    Raises:
        UserError: a file is missing or changed, or lies elsewhere.
    """
    files = list(files)
    if verify is None:
        verify = sum(file["bytes"] for file in files) <= _ALWAYS_VERIFY
    for file in files:
        path = folder / file["name"]
        if Path(file["name"]).name != file["name"]:
            raise UserError(f"{path}: a shard must lie in the corpus folder itself; {again}")
        if not path.is_file():
            raise UserError(f"{path}: missing; {again}")
        size = path.stat().st_size
        if size != file["bytes"]:
            raise UserError(f"{path}: {size} bytes instead of {file['bytes']}; {again}")
        if verify and file_sha256(path) != file["sha256"]:
            raise UserError(f"{path}: content differs from its hash in {META}; {again}")


def again_with(modality: Modality) -> str:
    """Advice for whoever has a damaged corpus."""
    return f"prepare the corpus again with `seqvae prepare {modality}`"


def _load(folder: Path, again: str) -> dict[str, Any]:
    path = folder / META
    if not path.is_file():
        unfinished = folder.with_name(folder.name + ".partial").is_dir()
        hint = " (unfinished: run the same `prepare` again)" if unfinished else ""
        raise UserError(f"{folder}: no prepared corpus here, {META} is missing{hint}")
    if path.stat().st_size > _LARGEST_META:
        raise UserError(f"{path}: far too large; {again}")
    try:
        meta = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); {again}") from error
    return meta if isinstance(meta, dict) else {}
