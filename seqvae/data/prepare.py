"""Raw text files to a corpus, whole or not at all."""

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

import seqvae
from seqvae.data.adapt import load_tokenizer
from seqvae.data.corpus import META, VERSION, Corpus, read_meta
from seqvae.data.settings import PrepareText, settings_of
from seqvae.data.sources import Source, content_sha256, find_sources
from seqvae.data.split import SPLITS
from seqvae.data.stages import Stages
from seqvae.data.workspace import Workspace
from seqvae.errors import UserError

__all__ = ["PrepareText", "prepare_text"]


def _to_stderr(notice: str) -> None:
    tqdm.write(notice, file=sys.stderr)


def prepare_text(config: PrepareText, say: Callable[[str], None] = _to_stderr) -> Corpus:
    """Prepare a corpus.

    The result is the same, byte for byte, for the same content and settings, whatever the machine's number of
    threads. Interrupted and run again with the same arguments it goes on after the last finished stage (with
    standard input it starts afresh).

    Args:
        config: what to do.
        say: gets notices for the user, one line each.

    Returns:
        The corpus, opened. If `config.out` already holds just this corpus, nothing is done.

    Raises:
        UserError: unusable input or settings, no space or permission to write, or something else at `config.out`.
    """
    model = None if config.tokenizer is None else load_tokenizer(config.tokenizer)
    given = {"train": config.inputs, "valid": config.valid_inputs, "test": config.test_inputs}
    sources = [
        (SPLITS[name], source)
        for name, inputs in given.items()
        if inputs or name == "train"
        for source in find_sources(inputs)
    ]
    workspace = Workspace(config.out)
    if config.out.exists() and not _may_replace(config, model, sources):
        if workspace.path.exists():
            with workspace.hold(""):
                workspace.discard()
        say(f"{config.out}: already prepared with this input and these settings")
        return Corpus.open(config.out)
    with workspace.hold(_key(config, model, sources)):
        try:
            Stages(config, workspace, sources, model, say).run()
        except UserError:
            workspace.discard()
            raise
        workspace.publish()
    return Corpus.open(config.out)


def _key(config: PrepareText, model: bytes | None, sources: list[tuple[int, Source]]) -> str:
    state = []
    for code, source in sources:
        if source.path is None:
            return ""
        time = source.path.stat().st_mtime_ns
        state.append((code, source.name, str(source.path.resolve()), source.size, time))
    content = json.dumps([VERSION, seqvae.__version__, settings_of(config, model), state])
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _may_replace(
    config: PrepareText, model: bytes | None, sources: list[tuple[int, Source]]
) -> bool:
    """False if `out` already is what is asked for."""
    out = config.out
    if not out.is_dir():
        raise UserError(f"{out}: a file is in the way; choose another output folder")
    if not any(out.iterdir()):
        return True
    if not (out / META).is_file():
        raise UserError(
            f"{out}: holds something that is not a corpus; choose another output folder"
        )
    if config.overwrite:
        return True
    difference = _difference(read_meta(out), config, model, sources)
    if difference:
        raise UserError(
            f"{out}: holds another corpus ({difference}); pass --overwrite to replace it"
        )
    return False


def _difference(
    meta: dict[str, Any],
    config: PrepareText,
    model: bytes | None,
    sources: list[tuple[int, Source]],
) -> str:
    wanted = settings_of(config, model)
    changed = [key for key in wanted if meta["settings"].get(key) != wanted[key]]
    if changed:
        key = changed[0]
        return f"{key} was {meta['settings'].get(key)}, is {wanted[key]}"
    if any(source.path is None for _, source in sources):
        return "its input cannot be compared with a stream"
    names = {code: name for name, code in SPLITS.items()}
    present = [
        {"name": source.name, "for": names[code], "sha256": _content(source)}
        for code, source in sources
    ]
    return "" if present == meta["sources"] else "the input files differ"


def _content(source: Source) -> str:
    digest = content_sha256(source)
    if source.kind == ".parquet":
        return hashlib.sha256(bytes.fromhex(digest)).hexdigest()
    return digest
