"""How recordings are arranged in folders, and how that is found out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from seqvae.data.speech.layouts.files import clean_text, lines_of, walk
from seqvae.data.speech.layouts.folder import FolderPerSpeaker
from seqvae.data.speech.layouts.hugging_face import HUB, Keep, data_set_takes, is_data_set
from seqvae.data.speech.layouts.layout import Layout
from seqvae.data.speech.layouts.releases import Arctic, LibriSpeech, LibriTts, LjSpeech, Vctk
from seqvae.data.speech.layouts.tables import AudioFolder, Manifest, Table
from seqvae.data.speech.records import SpeechReport, Take, printable
from seqvae.errors import UserError

LayoutName = Literal[
    "auto",
    "folder",
    "ljspeech",
    "vctk",
    "libritts",
    "librispeech",
    "arctic",
    "audiofolder",
    "table",
    "manifest",
]
LAYOUTS: tuple[Layout, ...] = (
    AudioFolder(),
    LjSpeech(),
    Vctk(),
    Arctic(),
    LibriTts(),
    LibriSpeech(),
    Manifest(),
    Table(),
    FolderPerSpeaker(),
)
"""In the order in which they are tried."""
LAYOUTS_BY_NAME = {layout.name: layout for layout in LAYOUTS}

_PROMPTS = "prompts.tsv"


def find_takes(
    inputs: Sequence[str],
    layout: LayoutName,
    texts: Path | None,
    report: SpeechReport,
    keep: Keep,
    say: Callable[[str], None],
) -> list[Take]:
    """All recordings of some inputs.

    Args:
        inputs: folders, tables, manifests, hf:NAME[:SPLIT].
        layout: how they are arranged, or "auto".
        texts: a table `id<TAB>text` with what is said, or None.
        report: gets unusable entries.
        keep: gets sound that is stored inside tables.
        say: gets notices.

    Raises:
        UserError: an input does not exist, is arranged in no known way, or holds no recording.
    """
    takes: list[Take] = []
    owners: dict[str, str] = {}
    for given in inputs:
        found = _takes_of(given, layout, report, keep, say)
        if len(inputs) > 1:
            prefix = printable(Path(given).resolve().name)
            found = [replace(take, name=f"{prefix}/{take.name}") for take in found]
        shared = sorted({t.speaker for t in found if owners.setdefault(t.speaker, given) != given})
        if shared:
            say(
                f"{given}: {', '.join(shared[:5])}{', ...' if len(shared) > 5 else ''} also in "
                f"{owners[shared[0]]}: taken for the same speaker"
            )
        takes += found
    if texts is not None:
        takes = _with_texts(takes, texts, report, say)
    return takes


def _takes_of(
    given: str,
    layout: LayoutName,
    report: SpeechReport,
    keep: Keep,
    say: Callable[[str], None],
) -> list[Take]:
    root = Path(given)
    if not given.startswith(HUB) and not root.exists():
        raise UserError(f"{given}: no such file or folder")
    if given.startswith(HUB) or (layout == "auto" and is_data_set(root)):
        chosen, takes = "data set", list(data_set_takes(given, report, keep))
    else:
        kind = _detect(root) if layout == "auto" else LAYOUTS_BY_NAME[layout]
        if not kind.matches(root):
            raise UserError(f"{given}: not the layout {kind.name}: {kind.expects}{_seen(root)}")
        chosen, takes = kind.name, list(kind.takes(root, report))
        if (root / _PROMPTS).is_file() and not any(take.text for take in takes):
            takes = _with_texts(takes, root / _PROMPTS, report, say)
    if not takes:
        raise UserError(f"{given}: no recording in it (layout {chosen}); {_counted(report)}")
    speakers = len({take.speaker for take in takes})
    texts = sum(bool(take.text) for take in takes)
    said = "" if not texts else f", {'all' if texts == len(takes) else f'{texts:,}'} with text"
    say(f"{given}: layout {chosen}, {len(takes):,} recordings of {speakers:,} speakers{said}")
    return takes


def _detect(root: Path) -> Layout:
    for layout in LAYOUTS:
        if layout.matches(root):
            return layout
    if root.is_file():
        raise UserError(
            f"{root}: neither a folder nor a table (.csv, .tsv, .txt) or manifest (.jsonl)"
        )
    expected = "".join(f"\n  {layout.name:12} {layout.expects}" for layout in LAYOUTS)
    raise UserError(
        f"{root}: recordings are not arranged in a way that is known{_seen(root)}. "
        f"Looked for (--layout forces one):{expected}"
    )


def _seen(root: Path) -> str:
    """What a folder holds, for whoever wonders why it was refused."""
    if not root.is_dir():
        return ""
    kinds: Counter[str] = Counter()
    for _, files in walk(root):
        kinds.update(Path(name).suffix.lower() or "no ending" for name in files)
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(6))
    return f" (files there: {listed or 'none'})"


def _with_texts(
    takes: list[Take], table: Path, report: SpeechReport, say: Callable[[str], None]
) -> list[Take]:
    """Recordings with what a table `id<TAB>text` says of them; an id is a file's name without ending."""
    texts: dict[str, str] = {}
    for number, line in lines_of(table, report):
        key, separator, text = line.partition("|" if "\t" not in line else "\t")
        if separator:
            texts[key.strip()] = clean_text(text)
        else:
            report.skip(f"{printable(table.name)}, line {number}", "not id<TAB>text")
    known = [
        texts.get(str(Path(take.name).with_suffix("")), texts.get(take.stem)) for take in takes
    ]
    matched = sum(text is not None for text in known)
    if not matched:
        raise UserError(
            f"{table}: names none of the recordings; ids are file names without ending, as "
            f"{takes[0].stem!r}"
        )
    say(f"{table}: texts of {matched:,} of {len(takes):,} recordings")
    return [
        take if text is None else replace(take, text=text)
        for take, text in zip(takes, known, strict=True)
    ]


def _counted(report: SpeechReport) -> str:
    counts = ", ".join(f"{count:,} {reason}" for reason, count in report.counts.items())
    return f"left out: {counts}" if counts else "it is empty"
