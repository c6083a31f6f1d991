"""The verb prepare: text, speech, molecules, frames and digits."""

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.data.corpus import Corpus
    from seqvae.data.frames.corpus import FramesCorpus

USAGE = """usage: seqvae prepare text IN... DATA [options]      sentences, pairs, labels from text files and tables
       seqvae prepare speech IN... DATA [options]    recordings, by default a folder for each speaker
       seqvae prepare molecules IN... DATA [options] SMILES from text files and tables, or moses
       seqvae prepare frames IN... DATA [options]    arrays, images as rows, time series: .npy .npz .csv .parquet idx
       seqvae prepare digits DATA [options]          handwritten digits, scikit-learn's or MNIST

`seqvae prepare KIND --help` lists the options of each."""


def prepare(argv: list[str]) -> None:
    """Prepare a corpus of the kind that the first word says."""
    if argv and argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    kind = argv[0] if argv else "nothing"
    verbs = {"text": _text, "speech": _speech, "molecules": _molecules, "frames": _frames}
    if kind == "digits":
        _digits(argv[1:])
        return
    if kind not in verbs:
        known = ", ".join([*verbs, "digits"])
        raise UserError(f"prepare what? known: {known}; got {kind!r}")
    verbs[kind](inputs_and_out(kind, argv[1:]))


def _text(argv: list[str]) -> None:
    import tyro

    from seqvae.data.prepare import PrepareText, prepare_text

    config = tyro.cli(
        PrepareText,
        args=argv,
        prog="seqvae prepare text",
        description="Turn text files into a corpus to train on: "
        "seqvae prepare text IN... OUT [options]; IN of - is standard input.",
    )
    _summary(prepare_text(config))


def _molecules(argv: list[str]) -> None:
    import tyro

    from seqvae.data.molecules import PrepareMolecules, prepare_molecules

    config = tyro.cli(
        PrepareMolecules,
        args=argv,
        prog="seqvae prepare molecules",
        description="Turn molecules into a corpus to train on: seqvae prepare molecules IN... OUT [options]; "
        "IN of moses is the benchmark's training set. What is no molecule is counted and listed in "
        "OUT/skipped_molecules.jsonl.",
    )
    _summary(prepare_molecules(config))


def _frames(argv: list[str]) -> None:
    import tyro

    from seqvae.data.frames.prepare import PrepareFrames, prepare_frames

    config = tyro.cli(
        PrepareFrames,
        args=argv,
        prog="seqvae prepare frames",
        description="Turn arrays, images or time series into a corpus to train on: seqvae prepare frames IN... OUT "
        "[options]. Sequences that cannot be used are counted and listed in OUT/skipped.jsonl.",
    )
    _summary_of_frames(prepare_frames(config))


def _digits(argv: list[str]) -> None:
    import tyro

    from seqvae.data.frames.digits import PrepareDigits, prepare_digits

    if argv and not argv[0].startswith("-"):
        argv = ["--out", *argv]
    config = tyro.cli(
        PrepareDigits,
        args=argv,
        prog="seqvae prepare digits",
        description="Turn handwritten digits into a corpus to train on: seqvae prepare digits OUT [options].",
    )
    if config.out == Path():
        raise UserError("prepare digits OUT: name the folder to write")
    _summary_of_frames(prepare_digits(config))


def _summary_of_frames(corpus: "FramesCorpus") -> None:
    rows = [(name, entry["sequences"]) for name, entry in corpus.meta["splits"].items()]
    print(f"{corpus.path}: " + ", ".join(f"{name} {count:,}" for name, count in rows), end="")
    print(
        f" sequences of up to {corpus.longest} frames of {corpus.features}, from {corpus.least:g} to "
        f"{corpus.greatest:g}, {len(corpus.labels)} labels"
    )


def _summary(corpus: "Corpus") -> None:
    rows = [(name, len(corpus.split(name))) for name in corpus.meta["splits"]]
    print(f"{corpus.path}: " + ", ".join(f"{name} {count:,}" for name, count in rows), end="")
    known = [f"{len(corpus.labels):,} labels"] if corpus.labels else []
    known += [one.described() for one in corpus.attributes]
    print(", ".join([f" sequences, {corpus.tokenizer.vocab_size:,} pieces", *known]))


def _speech(argv: list[str]) -> None:
    import tyro

    from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
    from seqvae.data.speech.summary import summary_of

    config = tyro.cli(
        PrepareSpeech,
        args=argv,
        prog="seqvae prepare speech",
        description="Turn recordings into a corpus to train on: seqvae prepare speech IN... OUT [options]. "
        "An IN with a folder for each speaker needs no option; how others are arranged is found out. What "
        "several speakers have read is held out of training for all of them, so that no test sentence is "
        "known from another voice. Files that cannot be used are listed in OUT/skipped.jsonl.",
    )
    print(summary_of(prepare_speech(config)))


def inputs_and_out(kind: str, argv: list[str]) -> list[str]:
    """`IN... OUT [options]` as the options `--inputs` and `--out`."""
    leading = list(takewhile(lambda word: word == "-" or not word.startswith("-"), argv))
    if not leading:
        return argv
    options = argv[len(leading) :]
    if not any(word.split("=", 1)[0] == "--out" for word in options):
        *leading, out = leading
        options += ["--out", out]
    if not leading:
        raise UserError(
            f"prepare {kind} IN... OUT: only {options[-1]!r} was given; name inputs too"
        )
    return ["--inputs", *leading, *options]
