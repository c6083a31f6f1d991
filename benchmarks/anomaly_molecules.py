"""Strings that are no molecules, told from molecules by a VAE of SMILES that trained for minutes, beside a language model.

    python -m benchmarks.anomaly_molecules DATA --work runs/anomaly_molecules

DATA is what `seqvae prepare molecules moses DATA --vocab-size 500` wrote. The VAE and the language model of the same decoder train
for as many steps. Held-out molecules are compared with other held-out ones, each damaged in one place until rdkit refuses it: one
character lost, changed or put in, or one atom exchanged for an element that has fewer bonds (`seqvae.tasks.molecules.anomaly`). The
plain rival counts the pieces into which a string splits. Chosen on the first half of the molecules, reported on the second. The same
command goes on where it stopped. Result: benchmarks/results/anomaly/molecules.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.molecules import experiment
from benchmarks.record import ledger, write_result
from seqvae.config import Experiment
from seqvae.tasks.auroc import auroc
from seqvae.tasks.molecules.anomaly import Damage, broken
from seqvae.tasks.molecules.model import MoleculeModel
from seqvae.tasks.text_model import TextModel
from seqvae.training import load_text, train

Values = np.ndarray[Any, np.dtype[np.float64]]
WHOLE = "whole"
RIVALS = ("lm ", "pieces")
"""How the names of scores begin that no VAE made."""
BAR = 0.90


def trained(work: Path, name: str, wanted: Experiment) -> TextModel:
    """A model, trained once."""
    with counted(work / f"{name}.cpu.json"):
        train(replace(wanted, run=str(work / name)))
    return load_text(work / name)


def scores(
    vae: TextModel, language_model: TextModel, texts: Sequence[str], samples: int
) -> dict[str, Values]:
    """Every score of every string; high is odd."""
    found = vae.score(texts, samples=samples)
    plain = np.array([s.nll_iw for s in language_model.score(texts)])
    pieces = np.array([len(s.pieces) for s in found], float)
    letters = np.array([len(text) for text in texts], float)

    def of(name: str) -> Values:
        return np.array([getattr(s, name) for s in found], float)

    return {
        "-elbo": -of("elbo"),
        "nll_iw": of("nll_iw"),
        "nll_iw per character": of("nll_iw") / letters,
        "kl": of("kl"),
        "misfit": of("misfit"),
        "reconstruction": of("reconstruction"),
        "oddest piece": np.array([max(p.surprisal for p in s.pieces) for s in found]),
        "lm nll": plain,
        "lm nll per character": plain / letters,
        "pieces per character": pieces / letters,
    }


def table(found: Mapping[str, Mapping[str, Values]]) -> dict[str, dict[str, float]]:
    """AUROC by score and damage, and their mean."""
    rows: dict[str, dict[str, float]] = {}
    for score, normal in found[WHOLE].items():
        row = {
            name: auroc(list(normal), list(values[score]))
            for name, values in found.items()
            if name != WHOLE
        }
        rows[score] = {**row, "mean": float(np.mean(list(row.values())))}
    return rows


def measured(
    vae: TextModel, language_model: TextModel, molecules: Sequence[str], samples: int
) -> dict[str, dict[str, float]]:
    """The table of molecules, every second one whole and the others damaged."""
    kinds: dict[str, list[str]] = {WHOLE: list(molecules[0::2])}
    for damage in get_args(Damage):
        made = (broken(one, damage) for one in molecules[1::2])
        kinds[damage] = [text for text in made if text is not None]
    return table(
        {name: scores(vae, language_model, texts, samples) for name, texts in kinds.items()}
    )


def main(
    data: tyro.conf.Positional[Path],
    work: Path,
    minutes: float = 5.0,
    molecules: int = 1600,
    samples: int = 10,
) -> None:
    """Train, damage, score, write down.

    Args:
        data: prepared SMILES.
        work: folder for the runs.
        minutes: CPU time of the VAE's training, at most about.
        molecules: held-out ones, half of them to choose the score.
        samples: K of nll_iw.
    """
    work.mkdir(parents=True, exist_ok=True)
    wanted = experiment(
        data, work / "vae", minutes=minutes, rate=48.0, width=256, dimension=64, threads=1
    )
    vae = trained(work, "vae", wanted)
    language_model = trained(work, "lm", replace(wanted, latent="none"))
    held_out = MoleculeModel(vae).held_out(molecules, data=data)
    half = len(held_out) // 2
    choose, report = (
        measured(vae, language_model, part, samples) for part in (held_out[:half], held_out[half:])
    )
    ours = [score for score in report if not score.startswith(RIVALS)]
    winner = max(ours, key=lambda score: choose[score]["mean"])
    rival = max(
        (score for score in report if score.startswith("lm ")), key=lambda s: report[s]["mean"]
    )
    path = write_result(
        "anomaly/molecules",
        {
            "molecules": len(held_out),
            "steps": wanted.training.steps,
            "train_cpu_seconds": {
                name: cpu_seconds(work / f"{name}.cpu.json") for name in ("vae", "lm")
            },
            "chosen": winner,
            "choose": choose,
            "report": report,
        },
    )
    best, theirs = report[winner]["mean"], report[rival]["mean"]
    ledger(
        "E",
        [
            {
                "bar": "2",
                "what": "anomaly detection: strings that are no molecules",
                "target": f"mean AUROC >= {BAR:.2f} and above the language model's",
                "figure": f"{winner} {best:.3f}; {rival} {theirs:.3f}",
                "met": best >= BAR and best > theirs,
                "result_file": path,
            }
        ],
    )
    for score, row in report.items():
        print(score, ", ".join(f"{name} {value:.3f}" for name, value in row.items()))


if __name__ == "__main__":
    tyro.cli(main)
