"""Files of molecules to a corpus: read, checked and respelled by rdkit, then prepared as text is."""

import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seqvae.data.attributes import NUMBER
from seqvae.data.chemistry import canonical, chem, molecule
from seqvae.data.corpus import Corpus
from seqvae.data.lines import SkipReport
from seqvae.data.moses import Part, moses_file
from seqvae.data.prepare import prepare_text
from seqvae.data.properties import BY_NAME, PropertyName
from seqvae.data.readers import read_records
from seqvae.data.records import Columns
from seqvae.data.settings import PrepareText
from seqvae.data.smiles import Notation, selfies, to_notation, tokens, train_molecule_tokenizer
from seqvae.data.sources import PLAIN, STDIN, Source, find_sources
from seqvae.errors import UserError

MOSES = "moses"
RECORD = "molecules.json"
SKIPPED = "skipped_molecules.jsonl"
# Listed by name; the rest is only counted.
_LISTED = 1000
_LONGEST_LINE = 1 << 16
_MOLECULE = "molecule"


@dataclass(frozen=True)
class PrepareMolecules:
    """Turn molecules into a corpus to train on: one canonical spelling each, tokens that are atoms."""

    inputs: tuple[str, ...]
    """Files of SMILES (.smi .txt .csv .tsv .jsonl .parquet, each also .gz), folders of them, - for standard input;
    moses for the benchmark's training set, its test set held out (pip install --no-deps molsets)."""

    out: Path
    """Folder to write."""

    notation: Notation = "smiles"
    """smiles: a token an atom, bond, branch or ring closure. selfies: every string is a molecule."""

    vocab_size: int | None = None
    """Merge tokens that often stand together until there are this many. With 500 a molecule of MOSES has 8 tokens
    instead of 35, and a model learns four times as many in an hour."""

    field: str = "SMILES"
    """Column of tables that has the molecules; a table with only one column needs no name."""

    properties: tuple[PropertyName, ...] = ()
    """Computed of each molecule, for a conditional model to be told (train --model.conditional, then --label logp=2.5):
    logp, qed, sa (synthetic accessibility), weight in dalton."""

    canonicalise: bool = True
    """Respell every molecule rdkit's one way, so that two spellings of one molecule are duplicates."""

    limit: int | None = None
    """Most training molecules; the first are taken."""

    max_length: int = 126
    """Longest molecule in tokens; longer ones are skipped and counted."""

    valid: float = 0.05
    """Share held out for validation, chosen by a seeded hash of the molecule."""

    test: float = 0.05
    """Share held out for testing, without test inputs."""

    most_held_out: int = 5000
    """Most molecules held out for validation, and for testing."""

    valid_inputs: tuple[str, ...] = ()
    """Files for validation instead of a share; training molecules that occur in them are dropped."""

    test_inputs: tuple[str, ...] = ()
    """Files for testing instead of a share; training and validation molecules that occur in them are dropped."""

    seed: int = 0
    """Of the split."""

    overwrite: bool = False
    """Replace OUT if it holds another corpus."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit: {self.limit} molecules are too few; give at least 1")


def _to_stderr(notice: str) -> None:
    tqdm.write(notice, file=sys.stderr)


def prepare_molecules(config: PrepareMolecules, say: Callable[[str], None] = _to_stderr) -> Corpus:
    """Prepare a corpus of molecules.

    Memory does not grow with the files. Strings that are no molecules never stop it: they are counted, and the first
    thousand are listed in OUT/skipped_molecules.jsonl. Run again with the same input and settings, it does nothing.

    Args:
        config: what to do.
        say: gets notices for the user, one line each.

    Raises:
        UserError: rdkit is missing (or selfies, or molsets), unusable input, or something else at `config.out`.
    """
    chem()
    if config.notation == "selfies":
        selfies()
    given = _sources(config)
    key = _key(config, given)
    record = config.out / RECORD
    if record.is_file() and json.loads(record.read_text(encoding="utf-8"))["key"] == key:
        say(f"{config.out}: already prepared with this input and these settings")
        return Corpus.open(config.out)
    stage = config.out.with_name(config.out.name + ".molecules")
    done = stage / RECORD
    if not (key and done.is_file() and json.loads(done.read_text(encoding="utf-8"))["key"] == key):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        facts = _respell(config, given, stage, say)
        tokenizer = train_molecule_tokenizer(
            _lines(stage / f"train{_kind(config)}", skip=bool(config.properties)),
            config.notation,
            config.vocab_size,
        )
        (stage / "tokenizer.model").write_bytes(tokenizer)
        text = json.dumps({"key": key, **facts}, indent=2, ensure_ascii=False)
        done.write_text(text + "\n", encoding="utf-8")
    corpus = prepare_text(_as_text(config, stage, given), say)
    for name in (SKIPPED, RECORD):
        shutil.copyfile(stage / name, config.out / name)
    shutil.rmtree(stage)
    return corpus


def _sources(config: PrepareMolecules) -> dict[str, list[Source]]:
    """The files of each split."""
    given = {"train": config.inputs, "valid": config.valid_inputs, "test": config.test_inputs}
    if MOSES in config.inputs and not config.test_inputs:
        given["test"] = (MOSES,)
    if MOSES in config.valid_inputs:
        raise UserError("--valid-inputs: MOSES has no validation set; leave it to --valid")
    found = {}
    for split, names in given.items():
        part: Part = "test" if split == "test" else "train"
        if names or split == "train":
            found[split] = find_sources([str(moses_file(part)) if n == MOSES else n for n in names])
    return found


def _key(config: PrepareMolecules, given: dict[str, list[Source]]) -> str:
    """Digest of settings and inputs; empty where an input cannot be known again."""
    settings = {
        name: value
        for name, value in asdict(config).items()
        if name not in ("inputs", "out", "valid_inputs", "test_inputs", "overwrite")
    }
    files = []
    for split, sources in given.items():
        for source in sources:
            if source.path is None:
                return ""
            files.append((split, source.name, source.size, source.path.stat().st_mtime_ns))
    return hashlib.sha256(json.dumps([settings, files]).encode()).hexdigest()


def _respell(
    config: PrepareMolecules,
    given: dict[str, list[Source]],
    stage: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write a usable molecule a line, and its properties; returns what was read and left out."""
    left_out: Counter[str] = Counter()
    kept = {}
    with (stage / SKIPPED).open("w", encoding="utf-8") as listed:

        def skip(source: str, text: str, reason: str) -> None:
            if left_out.total() < _LISTED:
                entry = {"source": source, "text": text[:200], "reason": reason}
                listed.write(json.dumps(entry, ensure_ascii=False) + "\n")
            left_out[reason] += 1

        for split, files in given.items():
            limit = config.limit if split == "train" else None
            count = 0
            with (stage / f"{split}{_kind(config)}").open("w", encoding="utf-8") as out:
                if config.properties:
                    out.write("\t".join([_MOLECULE, *config.properties]) + "\n")
                for source in files:
                    for line in islice(_usable(config, source, skip), limit and limit - count):
                        out.write(line + "\n")
                        count += 1
            kept[split] = count
    for reason, count in sorted(left_out.items()):
        say(f"{count:,} skipped: {reason}")
    if not kept["train"]:
        raise UserError(f"no molecule in the input ({left_out.total():,} skipped)")
    sources = [{"name": s.name, "for": split} for split, files in given.items() for s in files]
    return {
        "notation": config.notation,
        "sources": sources,
        "molecules": kept,
        "skipped": dict(left_out),
    }


def _usable(
    config: PrepareMolecules, source: Source, skip: Callable[[str, str, str], None]
) -> Iterator[str]:
    """The molecules of a file in the wanted notation."""
    report = SkipReport()
    plain = source.kind in (*PLAIN, STDIN)
    columns = Columns() if plain else Columns(default=config.field)
    with tqdm(
        desc=source.name, total=source.size or None, unit="B", unit_scale=True, disable=None
    ) as bar:
        blocks = read_records(source, columns, report, hashlib.sha256(), bar.update, _LONGEST_LINE)
        for text in (text for records in blocks for text in records.texts):
            line, reason = _written(config, text)
            if line is None:
                skip(source.name, text, reason)
            else:
                yield line
    for entry in report.entries:
        skip(source.name, f"line {entry['line']}", str(entry["reason"]))


def _written(config: PrepareMolecules, text: str) -> tuple[str | None, str]:
    """A line's molecule in the wanted notation, or None and why not."""
    # What follows the first space of a .smi file is a name.
    smiles = (text.split(maxsplit=1) or [""])[0]
    spelled = canonical(smiles)
    if spelled is None:
        return None, "not a molecule" if smiles else "empty"
    line = to_notation(spelled if config.canonicalise else smiles, config.notation)
    if line is None:
        return None, f"cannot be written in {config.notation}"
    try:
        tokens(line, config.notation)
    except ValueError:
        return None, "holds something that is no token"
    if not config.properties:
        return line, ""
    mol = molecule(spelled)
    numbers = [BY_NAME[name](mol) for name in config.properties]
    return "\t".join([line, *(f"{number:.6g}" for number in numbers)]), ""


def _kind(config: PrepareMolecules) -> str:
    """Ending of the staged files: molecules alone, or a table."""
    return ".tsv" if config.properties else ".smi"


def _lines(path: Path, skip: bool) -> Iterator[str]:
    """The molecules of a staged file, without its header."""
    with path.open(encoding="utf-8") as lines:
        for line in islice(lines, int(skip), None):
            yield line.rstrip("\n").partition("\t")[0]


def _as_text(config: PrepareMolecules, stage: Path, given: dict[str, list[Source]]) -> PrepareText:
    def of(split: str) -> tuple[str, ...]:
        return (str(stage / f"{split}{_kind(config)}"),) if split in given else ()

    return PrepareText(
        inputs=of("train"),
        out=config.out,
        columns=(_MOLECULE,) if config.properties else (),
        attributes=tuple(name + NUMBER for name in config.properties),
        tokenizer=stage / "tokenizer.model",
        max_length=config.max_length,
        valid=config.valid,
        test=config.test,
        most_held_out=config.most_held_out,
        valid_inputs=of("valid"),
        test_inputs=of("test"),
        seed=config.seed,
        overwrite=config.overwrite,
    )
