import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae import decoders, encoders
from seqvae.config import Experiment, write_config
from seqvae.data.corpus import Corpus
from seqvae.data.noise import Noise
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.mix import NoiseMix
from seqvae.objectives import Adversarial
from seqvae.posteriors import Gaussian
from seqvae.training import Trainer, load_speech
from seqvae.training.distributed import Process
from seqvae.training.material_speech import SpeechMaterial
from seqvae.training.speech_validation import Recordings, SpeechValidation, batches, spread, whole
from tests.training.runs import GRU, TRANSFORMER, experiment, kill_at, result, rows
from tests.training.speech_runs import SPEECH, speech_experiment

ROOT = Path(__file__).parents[2]
SHARED: dict[str, Any] = {"tokens_per_batch": 100, "ema": 0.9}
# The encoder freezes at step 11, between the checkpoints at 10 and 15.
PHASES: dict[str, Any] = {
    "autoencoder": 5 / 16,
    "aggressive": 2,
    "tighten": 5.5 / 16,
    "tighten_samples": 2,
    "accumulate": 2,
    "noise": Noise(drop=0.1),
    "model": replace(TRANSFORMER, posterior=Gaussian(8, batch_norm=0.6)),
}
# A resumed process has the discriminator of the first one: had they gone apart, so would the run.
JUDGED: dict[str, Any] = {"objective": Adversarial(), "accumulate": 2}
SPOKEN: dict[str, Any] = {
    "model": replace(SPEECH, speakers="both", noise=NoiseMix(probability=0.5)),
    "accumulate": 2,
    "ema": 0.9,
}
STILL = replace(
    TRANSFORMER,
    encoder=encoders.Transformer(layers=1, width=32, heads=2, dropout=0.0),
    decoder=decoders.Transformer(layers=1, width=32, heads=2, dropout=0.0),
)
# All runs in one launch: starting two processes costs more than the runs.
SCRIPT = """
import sys
from pathlib import Path
import torch
from seqvae.config import read_config
from seqvae.training import Trainer
from seqvae.training.distributed import leave
from tests.training.runs import kill_at
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.json")):
    experiment = read_config(path)[0]
    if path.stem.endswith("parts"):
        kill_at(experiment, 8)
        kill_at(experiment, 13)
    trainer = Trainer(experiment)
    trainer.fit()
    torch.save(trainer.model.state_dict(), folder / f"{path.stem}-{trainer.process.rank}.pt")
leave()
"""


@pytest.fixture(scope="module")
def folder(corpus: Corpus, speech: SpeechCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes: whole, in parts, a GRU, a language model without any noise, one with a discriminator, and speech."""
    folder = tmp_path_factory.mktemp("distributed")
    wanted: dict[str, Experiment] = {
        "whole": experiment(corpus, folder / "whole", **SHARED, **PHASES),
        "parts": experiment(corpus, folder / "parts", **SHARED, **PHASES),
        "gru": experiment(corpus, folder / "gru", model=GRU, steps=4, tokens_per_batch=100),
        "still": experiment(
            corpus, folder / "still", model=STILL, latent="none", steps=6, **SHARED
        ),
        "judged": experiment(corpus, folder / "judged", **SHARED, **JUDGED),
        "judged-parts": experiment(corpus, folder / "judged-parts", **SHARED, **JUDGED),
        "speech": speech_experiment(speech, folder / "speech", **SPOKEN),
        "speech-parts": speech_experiment(speech, folder / "speech-parts", **SPOKEN),
    }
    for name, one in wanted.items():
        write_config(folder / f"{name}.json", one)
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(folder / "script.py"), str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def weights(folder: Path, name: str, rank: int) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / f"{name}-{rank}.pt", weights_only=True)
    return loaded


@pytest.mark.parametrize(
    "name", ["whole", "parts", "gru", "still", "judged", "judged-parts", "speech", "speech-parts"]
)
def test_both_processes_end_with_the_same_finite_weights(name: str, folder: Path) -> None:
    first, second = weights(folder, name, 0), weights(folder, name, 1)
    # Running means are each process's own until the next step begins.
    shared = [key for key in first if "running" not in key and "num_batches" not in key]
    assert all(bool(first[key].isfinite().all()) for key in first)
    assert all(torch.equal(first[key], second[key]) for key in shared)


def test_two_processes_equal_one_that_accumulates_two_batches(
    folder: Path, corpus: Corpus, tmp_path: Path
) -> None:
    # Within the first epoch: what is left over of it differs.
    alone = experiment(
        corpus, tmp_path / "alone", model=STILL, latent="none", steps=6, accumulate=2, **SHARED
    )
    trainer = Trainer(alone)
    trainer.fit()
    # Adam turns rounding of near-zero gradients into steps of full size: near, not equal.
    ours, theirs = (
        torch.cat([value.flatten() for value in state.values()])
        for state in (trainer.model.state_dict(), weights(folder, "still", 0))
    )
    assert float((ours - theirs).norm() / theirs.norm()) < 0.01
    together, one = rows(folder / "still"), rows(tmp_path / "alone")
    assert [row["step"] for row in together] == [row["step"] for row in one]
    assert together[-1]["bound"] == pytest.approx(one[-1]["bound"], rel=1e-3)


@pytest.mark.parametrize(
    ("parts", "uninterrupted"),
    [("parts", "whole"), ("judged-parts", "judged"), ("speech-parts", "speech")],
)
def test_two_processes_resume_exactly(parts: str, uninterrupted: str, folder: Path) -> None:
    assert result(folder / parts) == result(folder / uninterrupted)


def test_processes_hear_different_speech(speech: SpeechCorpus, tmp_path: Path) -> None:
    one = speech_experiment(speech, tmp_path / "run", **SPOKEN)
    batches = [
        SpeechMaterial(one, Process(rank, 2, torch.device("cpu"))).next_batch(0, 0)
        for rank in range(2)
    ]
    assert batches[0][1].tolist() != batches[1][1].tolist()
    assert not torch.equal(batches[0][0].values, batches[1][0].values)


def test_two_processes_measure_speech_as_one_does(folder: Path, speech: SpeechCorpus) -> None:
    """Each validates all, so what is logged is what anybody measures on the run's weights."""
    model = load_speech(folder / "speech", "last").model
    store = speech.split("valid")
    chosen = [Recordings(whole(store, batch)) for batch in batches(store, spread(store))]
    found = SpeechValidation(chosen, torch.device("cpu")).measure(model)
    logged = rows(folder / "speech")[-1]
    assert logged["split"] == "valid"
    assert found["l1"] == pytest.approx(logged["l1"], rel=1e-5)
    assert found["bit_rate"] == pytest.approx(logged["bit_rate"], rel=1e-5)


def test_another_number_of_processes_is_refused(folder: Path, corpus: Corpus) -> None:
    from seqvae.errors import UserError

    with pytest.raises(UserError, match="world was 2 and is now 1"):
        Trainer(experiment(corpus, folder / "whole", **SHARED, **PHASES))


def test_the_phases_were_gone_through(folder: Path) -> None:
    state = json.loads(
        (folder / "whole" / "checkpoints" / "step-000000016" / "state.json").read_text()
    )
    assert state["phases"]["decoder_reset"]
    assert {row["split"] for row in rows(folder / "whole")} == {"train", "valid"}


def test_kill_at_kills(corpus: Corpus, run: Path) -> None:
    kill_at(experiment(corpus, run), 7)
    assert Trainer(experiment(corpus, run)).step == 5
