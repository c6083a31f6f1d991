"""The command line: parses, calls, prints. Each verb imports what it needs when it runs."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import seqvae
from seqvae.errors import UserError

USAGE = """seqvae: sequence variational autoencoders that do not collapse

  seqvae prepare text IN... DATA         read text files, train a tokenizer, write a corpus
  seqvae prepare speech IN... DATA       read recordings, a folder for each speaker, write a corpus
  seqvae prepare frames IN... DATA       read arrays, images as rows, time series, write a corpus
  seqvae train DATA RUN [--rate RATE]    train (or go on with) a model of text, of speech or of frames
  seqvae fit-prior RUN                   learn where a trained model's sentences lie, to sample from there
  seqvae evaluate RUN                    likelihood, information, reconstruction on the test split
  seqvae report RUN                      one HTML page: does the latent carry information?
  seqvae sample RUN                      write new sentences
  seqvae reconstruct RUN TEXT...         encode sentences and write them again
  seqvae paraphrase RUN TEXT...          other sentences from around each sentence's latent
  seqvae transfer RUN TEXT... --to LABEL sentences of one label said again under another
  seqvae interpolate RUN FROM TO         walk from one sentence to another
  seqvae denoise RUN TEXT...             repair corrupted sentences
  seqvae score RUN TEXT...               how surprising sentences are, in nats, piece by piece
  seqvae embed RUN IN... -o OUT          a vector for each text of files (.parquet, .npy, .jsonl)
  seqvae convert RUN SOUND... --voice V  say what was recorded in another voice
  seqvae vocoder DATA OUT                train what turns frames into sound, on prepared recordings
  seqvae export RUN BUNDLE               ONNX files that an app calls once, compared with PyTorch
  seqvae serve BUNDLE                    a server and a page for a bundle
  seqvae molecules WHAT RUN              sample, score, optimize, walk, anomalies, draw
  seqvae bench kernels                   time the kernels against PyTorch's, from a checkout
  seqvae demo text                       all of the above on public-domain text, in minutes
  seqvae demo speech                     the same on four synthetic voices
  seqvae demo molecules                  MOSES: new molecules, its table, a search for better ones

`seqvae VERB --help` explains each. TEXT of - reads lines from standard input. Where RUN is of speech
sample, reconstruct, interpolate, denoise and score read and write sound, where it is of frames arrays and
pictures: `seqvae VERB RUN --help`.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code (2 for a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"seqvae {seqvae.__version__}")
        return 0
    verb = VERBS.get(arguments[0])
    if verb is None:
        import difflib

        near = difflib.get_close_matches(arguments[0], VERBS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"seqvae: no verb {arguments[0]!r}{hint}\n\n{USAGE}", file=sys.stderr)
        return 2
    try:
        verb(arguments[1:])
    except UserError as error:
        print(f"seqvae {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `seqvae sample RUN | head`: the reader has had enough.
        sys.stderr.close()
        return 0
    return 0


def _prepare(argv: list[str]) -> None:
    from seqvae.cli_prepare import prepare

    prepare(argv)


def _fit_prior(argv: list[str]) -> None:
    from seqvae.cli_train import fit_prior

    fit_prior(argv)


def _vocoder(argv: list[str]) -> None:
    from seqvae.cli_vocoder import vocoder

    vocoder(argv)


def _train(argv: list[str]) -> None:
    from seqvae.cli_train import train

    train(argv)


def _evaluate(argv: list[str]) -> None:
    from seqvae.cli_evaluate import evaluate

    evaluate(argv)


def _report(argv: list[str]) -> None:
    import tyro

    from seqvae.evaluation.report import write_report

    def command(
        run: tyro.conf.Positional[Path], data: Path | None = None, out: Path | None = None
    ) -> None:
        """Write one self-contained HTML page about a run.

        Args:
            run: a run, finished or still training.
            data: its corpus, where that has moved since.
            out: file to write [default: RUN/report.html].
        """
        print(write_report(run, corpus=data, out=out))

    tyro.cli(command, args=argv, prog="seqvae report")


def _demo(argv: list[str]) -> None:
    import tyro

    kind = argv[0] if argv else "nothing"
    if kind in ("-h", "--help"):
        print("seqvae demo text | speech | molecules: see seqvae demo text --help and so on")
    elif kind == "text":
        from seqvae.tasks.demo import demo_text

        tyro.cli(demo_text, args=argv[1:], prog="seqvae demo text")
    elif kind == "speech":
        from seqvae.tasks.demo_speech import demo_speech

        tyro.cli(demo_speech, args=argv[1:], prog="seqvae demo speech")
    elif kind == "molecules":
        from seqvae.tasks.demo_molecules import demo_molecules

        tyro.cli(demo_molecules, args=argv[1:], prog="seqvae demo molecules")
    else:
        raise UserError(f"demo of what? known: text, speech, molecules; got {kind!r}")


def _bench(argv: list[str]) -> None:
    if not argv or argv[0] != "kernels":
        if not argv or argv[0] not in ("-h", "--help"):
            raise UserError(f"bench what? known: kernels; got {argv[0] if argv else 'nothing'!r}")
        argv = ["kernels", *argv]
    checkout = Path(seqvae.__file__).resolve().parents[1]
    if not (checkout / "benchmarks" / "kernels.py").is_file():
        raise UserError(
            f"bench: no benchmarks beside {checkout / 'seqvae'}: they are not part of the installed "
            "package; run it from a checkout"
        )
    sys.path.insert(0, str(checkout))
    from benchmarks.kernels import main as measure

    code = measure(argv[1:], prog="seqvae bench kernels")
    if code:
        raise SystemExit(code)


def _export(argv: list[str]) -> None:
    from seqvae.cli_export import export

    export(argv)


def _serve(argv: list[str]) -> None:
    from seqvae.cli_serve import serve

    serve(argv)


def _task(name: str) -> Callable[[list[str]], None]:
    """A verb that uses a trained run, whatever it is of; torch is imported when it runs."""

    def verb(argv: list[str]) -> None:
        from seqvae.training import kind_of

        # Options may stand before the run, so it is known by what is in it. Not `Path.is_file`: of a
        # sentence of 300 letters it says that the name is too long.
        run = next((w for w in argv if os.path.isfile(os.path.join(w, "config.json"))), None)
        kind = "text" if run is None else kind_of(run)
        names = {"text": "cli_tasks", "speech": "cli_speech", "frames": "cli_frames"}
        module = import_module(f"seqvae.{names[kind]}")
        if not hasattr(module, name):
            # Only of texts: its verb says so of the run.
            module = import_module("seqvae.cli_tasks")
        getattr(module, name)(argv)

    return verb


def _molecules(argv: list[str]) -> None:
    from seqvae.cli_molecules import molecules

    molecules(argv)


def _convert(argv: list[str]) -> None:
    from seqvae.cli_speech import convert

    convert(argv)


VERBS: dict[str, Callable[[list[str]], Any]] = {
    "prepare": _prepare,
    "train": _train,
    "fit-prior": _fit_prior,
    "vocoder": _vocoder,
    "evaluate": _evaluate,
    "report": _report,
    "sample": _task("sample"),
    "reconstruct": _task("reconstruct"),
    "paraphrase": _task("paraphrase"),
    "transfer": _task("transfer"),
    "interpolate": _task("interpolate"),
    "denoise": _task("denoise"),
    "score": _task("score"),
    "embed": _task("embed"),
    "convert": _convert,
    "export": _export,
    "serve": _serve,
    "molecules": _molecules,
    "bench": _bench,
    "demo": _demo,
}

if __name__ == "__main__":
    sys.exit(main())
