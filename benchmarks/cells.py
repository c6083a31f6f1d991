"""Cells of a table: one training with one seed each, trained, measured and written down once.

Any number of processes may run the same list at a time, on one machine or on several with a common folder: a cell is
claimed by a lock that ends with its process, one whose result exists is skipped, and one that was interrupted goes on.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import RESULTS, write_result
from seqvae.config import Experiment
from seqvae.config_json import to_json
from seqvae.data.corpus import Corpus
from seqvae.errors import UserError
from seqvae.evaluation.evaluate import evaluate
from seqvae.priors import Flow
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train
from seqvae.training.fit_prior import fit_prior

FITTED = "+flow"
"""After a cell's name: the same run with a prior fitted to its latents (`seqvae fit-prior`)."""


@dataclass(frozen=True)
class Plan:
    """What is trained on which corpus, and where results go.

    Attributes:
        table: folder of the results, below benchmarks/results.
        name: of the corpus in the results.
        corpus: prepared corpus.
        work: folder for the runs.
        known: experiments by the name of their cell.
        samples: K of nll_iw.
        limit: test sequences used; None for all.
        also: further figures of a trained model in its run's folder, written beside the report.
    """

    table: str
    name: str
    corpus: Path
    work: Path
    known: Mapping[str, Experiment]
    samples: int = 500
    limit: int | None = None
    also: Callable[[TextModel, Path], dict[str, Any]] | None = None

    def run(self, cells: Sequence[str], seeds: Sequence[int]) -> None:
        """Train and measure cells, those of the first seed first.

        A cell that cannot be trained is named and left out; the others go on.

        Raises:
            SystemExit: a name is unknown, or cells failed.
        """
        for cell in cells:
            if cell.removesuffix(FITTED) not in self.known:
                raise SystemExit(f"no cell {cell!r}; there are {', '.join(self.known)}")
        failed = []
        for seed in seeds:
            for cell in cells:
                run = self._folder(cell, seed)
                run.parent.mkdir(parents=True, exist_ok=True)
                with _claimed(run.with_name(f"{run.name}.lock")) as mine:
                    if not mine or (RESULTS / f"{self._result(cell, seed)}.json").exists():
                        continue
                    try:
                        self._measure(cell, seed, run)
                    except UserError as error:
                        failed.append(f"{cell}-s{seed}: {error}")
                        print(failed[-1])
        if failed:
            raise SystemExit(f"{len(failed)} cells failed:\n" + "\n".join(failed))

    def _folder(self, cell: str, seed: int) -> Path:
        return self.work / self.name / f"{cell.removesuffix(FITTED)}-s{seed}"

    def _result(self, cell: str, seed: int) -> str:
        return f"{self.table}/{self.name}/{cell}-s{seed}"

    def _measure(self, cell: str, seed: int, run: Path) -> None:
        experiment = replace(self.known[cell.removesuffix(FITTED)], run=str(run), seed=seed)
        # Beside the run, not in it: a run's folder is made by its training. What was trained before
        # anybody counted has no clock, and no figure.
        clock = run.with_name(f"{run.name}.cpu.json")
        uncounted = run.exists() and not clock.exists()
        with counted(clock):
            train(experiment)
        fitted = cell.endswith(FITTED)
        if fitted:
            fit_prior(run, Flow(), data=self.corpus)
        trained = load_text(run, prior="fitted" if fitted else "standard")
        opened = Corpus.open(self.corpus)
        model = trained.model
        report = dict(evaluate(model, opened, "test", samples=self.samples, limit=self.limit))
        payload = {
            "cell": cell,
            "seed": seed,
            "corpus": self.name,
            "train_cpu_seconds": None if uncounted else round(cpu_seconds(clock) or 0.0, 1),
            "parameters": sum(p.numel() for p in model.parameters()),
            "decoder_parameters": sum(p.numel() for p in model.decoder.parameters()),
            "best_step": trained.info.get("step"),
            "report": report,
            "experiment": to_json(replace(experiment, data=self.name, run="")),
        }
        if self.also is not None:
            payload["also"] = self.also(trained, run)
        write_result(self._result(cell, seed), payload)
        shown = "".join(f" {key} {report[key]:.3f}" for key in ("kl", "mi") if key in report)
        print(f"{self.name} {cell} seed {seed}: nll {report['nll_iw']:.3f}{shown}")


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether this process may work on a cell: no other does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    """Values of several seeds as text; one value has no deviation."""
    from statistics import mean, stdev

    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def by_cell(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Results of all seeds by the name of their cell."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        found.setdefault(str(result["cell"]), []).append(result)
    return found
