"""A trained run to a bundle: graphs of every variant, compared with PyTorch, or nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import seqvae
from seqvae.data.text import BLANK, BOS, EOS, PAD, UNK
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle, GoldenRow
from seqvae.export.bundle_manifest import OPTIONS, VARIANTS, Manifest, Variant
from seqvae.export.bundle_writer import BundleWriter
from seqvae.export.golden import corpus_sentences, golden_cases, make_cases, write_with_torch
from seqvae.export.graphs import need_packages
from seqvae.export.quantize import Recipe
from seqvae.export.source import runtime_facts, source_of
from seqvae.export.variants import Settings, export_source, write_variant
from seqvae.export.verify import Report, refuse_failures, verify_variant
from seqvae.tasks.decode import MAX_HYPOTHESES
from seqvae.tasks.text_model import TextModel
from seqvae.training.load import load_text

Tier = Literal["auto", "sentencepiece", "char", "ids"]
Progress = Callable[[str, float], None]
"""Called before each stage with its name and the part of the work that is done by then."""
SENTENCES = 8
"""Sentences of the corpus among the rows that are compared and kept."""


def export_run(
    run: str | Path,
    bundle: str | Path,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    opset: int = 20,
    tokenizer: Tier = "auto",
    beam_size: int = 4,
    which: Literal["best", "last"] = "best",
    prior: Literal["fitted", "standard"] | None = None,
    label: str | Sequence[str] | None = None,
    sentences: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Export a run, compare every variant with PyTorch, and write the bundle in one step.

    Args:
        run: folder that `seqvae train` wrote.
        bundle: folder to write.
        variants: names of those to make; the first is the default one.
        opset: of the graphs.
        tokenizer: where text becomes ids: in the graph with onnxruntime-extensions
            (sentencepiece; auto is this), in the graph with plain operators for character
            models (char), or outside (ids).
        beam_size: hypotheses of beam search.
        which: the best or the last weights.
        prior: of samples and scores, see `seqvae.training.load.load_text`.
        label: of a conditional run, the one whose texts the bundle reads and writes; with attributes, it and
            NAME=VALUE for each.
        sentences: texts to compare with PyTorch, kept in the bundle as golden rows; by default
            some of the test split of the run's corpus, where it is at hand.
        overwrite: replace a bundle that is there.
        progress: told of each stage.

    Returns:
        The bundle, opened; its variants hold what was measured.

    Raises:
        UserError: an option is out of range, a package is missing, the run is not whole, a variant
            deviates from PyTorch by more than `seqvae.export.verify.LIMITS`, or the folder cannot
            be written. Nothing is written then.
    """
    _check(variants, tokenizer, beam_size)
    tier = "sentencepiece" if tokenizer == "auto" else tokenizer
    need_packages(tier)
    tell = progress or (lambda stage, part: None)
    tell("loading the run", 0.0)
    model = load_text(run, which, prior=prior, label=label)
    model.need_label()
    settings = Settings(tier, opset, beam_size)
    with BundleWriter(Path(bundle), overwrite=overwrite) as writer:
        tell("exporting the parts", 0.05)
        source = export_source(model, settings)
        tell("writing with PyTorch", 0.3)
        rows = corpus_sentences(model, SENTENCES) if sentences is None else sentences
        cases = make_cases(model, rows)
        truth = write_with_torch(model, cases, beam_size)
        reports: list[Report] = []
        names: dict[str, tuple[str, ...]] = {}
        for index, name in enumerate(variants):
            done = 0.4 + 0.55 * index / len(variants)
            tell(f"building {name}", done)
            precision, folder = VARIANTS[name][0], writer.folder(name)
            for recipe in get_args(Recipe) if precision == "int8" else ("rows",):
                names[name] = write_variant(folder, source, precision, settings, recipe=recipe)
                tell(f"comparing {name} with PyTorch", done + 0.25 / len(variants))
                report = verify_variant(
                    model, folder, cases, truth, precision=precision, tokenizer=tier
                )
                if not report.failures:
                    break
            reports.append(report)
        refuse_failures(reports)
        tell("writing the bundle", 0.95)
        kept = {id(case) for case in golden_cases(cases)}
        golden = [
            GoldenRow(c.name, c.text, c.options, {r.variant: r.written[i] for r in reports})
            for i, c in enumerate(cases)
            if id(c) in kept
        ]
        tokens = range(model.tokenizer.vocab_size)
        writer.write_tokenizer(model.tokenizer.model, model.tokenizer.pieces(tokens))
        writer.write_golden(golden)
        manifest = _manifest(model, settings, reports, names, len(cases))
        writer.write_readme(_readme(manifest))
        opened = writer.publish(manifest)
    tell("done", 1.0)
    return opened


def _check(variants: Sequence[str], tokenizer: str, beam_size: int) -> None:
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown or not variants or len(set(variants)) != len(variants):
        raise UserError(
            f"--variants {' '.join(variants) or 'none'}: choose from {', '.join(VARIANTS)}, each once"
        )
    if tokenizer not in get_args(Tier):
        raise UserError(f"--tokenizer {tokenizer!r} is not one of {', '.join(get_args(Tier))}")
    if not 1 <= beam_size <= MAX_HYPOTHESES:
        raise UserError(f"--beam-size is {beam_size}; it must be 1 to {MAX_HYPOTHESES}")


def _manifest(
    model: TextModel,
    settings: Settings,
    reports: Sequence[Report],
    parts: dict[str, tuple[str, ...]],
    rows: int,
) -> Manifest:
    latent = model.model.latent
    tasks = ("paraphrase", "reconstruct", "sample", "interpolate", "score")
    measured = {"rows": rows, **runtime_facts()}
    return Manifest(
        version=seqvae.__version__,
        kind="text",
        tasks=tasks if latent is not None else ("sample", "score"),
        latent=0 if latent is None else latent.dimension,
        vocabulary=model.tokenizer.vocab_size,
        max_length=model.max_pieces + 2,
        beam_size=settings.beam_size,
        tokenizer=settings.tokenizer,
        opset=settings.opset,
        labels=tuple(model.labels),
        options=OPTIONS,
        special={"pad": PAD, "unk": UNK, "bos": BOS, "eos": EOS, "blank": BLANK},
        default_variant=reports[0].variant,
        variants={
            report.variant: Variant(
                precision=VARIANTS[report.variant][0],
                provider=VARIANTS[report.variant][1],
                parts=parts[report.variant],
                bytes=int(report.figures["bytes"]),
                verify={**report.figures, **measured},
            )
            for report in reports
        },
        source=source_of(model.info),
    )


def _readme(manifest: Manifest) -> str:
    register = ""
    if manifest.tokenizer == "sentencepiece":
        register = (
            "options.register_custom_ops_library(onnxruntime_extensions.get_library_path())\n"
        )
    take = "ids and lengths" if manifest.tokenizer == "ids" else "text"
    if not manifest.latent:
        take = "nothing but options"
    called = 'print(session.run(["written"], {"text": numpy.array(["How are you?"])}))'
    if not manifest.latent:
        called = 'print(session.run(["written"], {"temperature": numpy.float32([[1]])}))'
    elif manifest.tokenizer == "ids":
        called = "print([(value.name, value.type) for value in session.get_inputs()])"
    imports = "import numpy, onnxruntime" + (", onnxruntime_extensions" if register else "")
    return f"""# A seqvae bundle

One call of `{manifest.default_variant}/model.onnx` takes {take} and writes texts. With the engine:

```python
from seqvae.serving import Engine
engine = Engine("this folder")
print(engine.{"paraphrase(['How are you?'], n=3)" if manifest.latent else "sample(3)"})
```

With ONNX Runtime alone, in Python or any language it has:

```python
{imports}
options = onnxruntime.SessionOptions()
{register}session = onnxruntime.InferenceSession("{manifest.default_variant}/model.onnx", options)
{called}
```

`seqvae serve` with this folder starts a server. `seqvae.json` says what every option means, how far each
variant is from PyTorch, and the sha256 of every file; `golden.json` holds inputs with their outputs.
"""
