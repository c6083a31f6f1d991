"""`seqvae export`: a trained run to a bundle, a bundle to a Triton model repository."""

from pathlib import Path
from typing import Literal, Self

import tyro

from seqvae.cli_said import Said
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle

VariantName = Literal["cpu-fp32", "cpu-int8", "cuda-fp16"]


def export(argv: list[str]) -> None:
    """`seqvae export`, its arguments parsed from `argv`."""

    def command(
        paths: tyro.conf.Positional[tuple[Path, ...]],
        variants: tuple[VariantName, ...] = ("cpu-fp32", "cpu-int8", "cuda-fp16"),
        tokenizer: Literal["auto", "sentencepiece", "char", "ids"] = "auto",
        opset: int = 20,
        beam_size: int = 4,
        which: Literal["best", "last"] = "best",
        prior: Literal["fitted", "standard"] | None = None,
        label: Said = (),
        corpus_rows: bool = True,
        vocoder: Path | None = None,
        overwrite: bool = False,
        triton_repo: Path | None = None,
        triton_name: str = "seqvae",
        triton_variant: VariantName | None = None,
    ) -> None:
        """Turn a trained run into files that any app can call.

        seqvae export RUN BUNDLE writes a folder with one ONNX file per variant that takes text and
        writes text, the parts it is made of, the tokenizer, and a comparison with PyTorch. A
        variant that deviates too far is refused and nothing is written. Of a run on speech or on
        frames of numbers, sound or frames go in and come out.

        seqvae export --triton-repo DIR BUNDLE adds a bundle to a model repository of Triton
        Inference Server; with RUN BUNDLE both are written.

        Args:
            paths: RUN and BUNDLE, or with --triton-repo a BUNDLE that exists.
            variants: what to make, the default one first; cpu-int8 is a third of the size,
                cuda-fp16 is for NVIDIA GPUs.
            tokenizer: where text becomes ids: sentencepiece (auto) in the graph, which then needs the
                onnxruntime-extensions library; char in the graph with plain operators, for
                character models; ids outside of it.
            opset: ONNX operator set of the graphs.
            beam_size: sequences that a row with beam search keeps.
            which: best or last weights.
            prior: of a text run, the fitted one or the standard one; by default the fitted one where
                `seqvae fit-prior` left it.
            label: of a conditional run of texts, the one whose texts the bundle reads and writes; NAME=VALUE, in a
                --label of its own, for each attribute.
            corpus_rows: keep a few sentences of the corpus's test split in the bundle, as
                inputs with known outputs.
            vocoder: of a speech run, a folder written by `seqvae vocoder`; by default the run's own, or
                Griffin-Lim. Variants, tokenizer, beam and rows are of texts.
            overwrite: replace a bundle that is there.
            triton_repo: Triton model repository to add the bundle to.
            triton_name: name of the model there.
            triton_variant: which variant serves there; by default the bundle's default.
        """
        if len(paths) == 1 and triton_repo is not None:
            bundle = Bundle.open(paths[0])
        elif len(paths) == 2:
            from seqvae.export.verify import COLUMNS, table
            from seqvae.training.load import kind_of

            columns, run, out = COLUMNS, paths[0], paths[1]
            kind = kind_of(run)
            with _Bar() as bar:
                if kind == "frames":
                    from seqvae.export.frames_export import export_frames_run
                    from seqvae.export.frames_verify import COLUMNS as columns

                    bundle = export_frames_run(
                        run,
                        out,
                        opset=opset,
                        which=which,
                        overwrite=overwrite,
                        progress=bar.show,
                    )
                elif kind == "speech":
                    from seqvae.export.speech_export import export_speech_run
                    from seqvae.export.speech_verify import COLUMNS as columns

                    bundle = export_speech_run(
                        run,
                        out,
                        opset=opset,
                        which=which,
                        vocoder=vocoder,
                        overwrite=overwrite,
                        progress=bar.show,
                    )
                else:
                    from seqvae.export.export import export_run

                    bundle = export_run(
                        run,
                        out,
                        variants=variants,
                        opset=opset,
                        tokenizer=tokenizer,
                        beam_size=beam_size,
                        which=which,
                        prior=prior,
                        label=label,
                        sentences=None if corpus_rows else (),
                        overwrite=overwrite,
                        progress=bar.show,
                    )
            known = bundle.variants.items()
            print(table({name: variant.verify for name, variant in known}, columns))
            print(f"{bundle.path}: written; README.md in it says how to call it")
        else:
            raise UserError(
                f"name RUN and BUNDLE, or --triton-repo DIR and a BUNDLE; got {len(paths)} paths"
            )
        if triton_repo is not None:
            from seqvae.export.triton_repo import write_triton_repository

            place = write_triton_repository(
                bundle, triton_repo, variant=triton_variant, name=triton_name
            )
            print(f"{place}: written; start `tritonserver --model-repository {triton_repo}`")

    tyro.cli(command, args=argv, prog="seqvae export")


class _Bar:
    """A bar over the stages on standard error; quiet when that is a file."""

    def __enter__(self) -> Self:
        from tqdm import tqdm

        # None: shown only on a terminal.
        self._bar = tqdm(total=100, disable=None, bar_format="{l_bar}{bar}| {elapsed}", leave=False)
        return self

    def show(self, stage: str, part: float) -> None:
        """Begin a stage, `part` of the work done."""
        self._bar.set_description(stage)
        self._bar.update(100 * part - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
