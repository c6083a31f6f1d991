"""A model of molecules, trained on a few: sampled, scored, searched, drawn; and the command line around it."""

import itertools
import json
import math
from pathlib import Path

import pytest

from seqvae.data.chemistry import canonical, molecule
from seqvae.errors import UserError
from seqvae.evaluation.molecules.score import reconstructed
from seqvae.tasks.molecules.model import MoleculeModel

pytest.importorskip("rdkit")

LEFT = ("C", "CC", "CCC", "CC(C)", "CO", "CCO", "F", "Cl", "Br", "N#C", "CN", "O")
RIGHT = ("C", "CC", "O", "OC", "F", "Cl", "N", "C#N", "C(=O)O", "C(N)=O")
MIDDLE = ("c1ccc({})cc1", "c1ccc({})nc1", "C1CCC({})CC1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from seqvae import decoders, encoders
    from seqvae.config import Experiment, Model, Training
    from seqvae.data.molecules import PrepareMolecules, prepare_molecules
    from seqvae.objectives import RateTarget
    from seqvae.posteriors import Gaussian
    from seqvae.training import train

    folder = tmp_path_factory.mktemp("molecules")
    parts = itertools.product(LEFT, MIDDLE, RIGHT)
    lines = [left + middle.format(right) for left, middle, right in parts]
    (folder / "all.smi").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpus = prepare_molecules(
        PrepareMolecules(inputs=(str(folder / "all.smi"),), out=folder / "corpus", vocab_size=60)
    )
    training = Training(steps=500, tokens_per_batch=512, learning_rate=8e-3, validate_every=500)
    model = Model(
        encoder=encoders.Gru(width=64, dropout=0.0, pooling="mean_max"),
        posterior=Gaussian(dimension=8),
        decoder=decoders.Gru(width=64, dropout=0.0),
    )
    train(
        Experiment(
            data=str(corpus.path),
            run=str(folder / "run"),
            objective=RateTarget(rate=16.0),
            model=model,
            training=training,
        )
    )
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> MoleculeModel:
    return MoleculeModel.load(run)


def test_molecules_are_written_again_and_new_ones_are_molecules(model: MoleculeModel) -> None:
    # Of three hundred molecules it learns these, not all.
    known = model.held_out(40, split="train")
    assert all(molecule(one) is not None for one in known)
    assert reconstructed(known, model.reconstruct(known)) >= 0.8
    samples = list(model.sample(60))
    assert sum(molecule(one) is not None for one in samples) >= 40
    # The first of many are those of fewer.
    assert list(model.sample(10)) == samples[:10]
    # Another spelling of a molecule is the same molecule.
    torch_equal = model.encode(["OC(=O)c1ccc(C)cc1"]) == model.encode(["Cc1ccc(C(=O)O)cc1"])
    assert bool(torch_equal.all())
    with pytest.raises(UserError, match="'C\\(' is not a molecule"):
        model.encode(["C("])


def test_a_search_finds_more_of_a_property_and_keeps_to_similarity(model: MoleculeModel) -> None:
    from seqvae.tasks.molecules.optimize import JUDGES, Search, optimize, summary

    search = Search(property="logp", similarity=0.2, rounds=4, population=24, step=0.7)
    starts = ["Oc1ccc(N)cc1", "CCOC1CCC(O)CC1"]
    found = optimize(model, starts, search)
    assert [one.start for one in found] == [canonical(text) for text in starts]
    for one in found:
        assert one.after == pytest.approx(JUDGES["logp"](molecule(one.best)))
        assert one.similarity >= 0.2
        assert one.gain > 0.3
    assert optimize(model, starts, search) == found
    assert summary(found)["improved"] == 1.0
    # Nothing but the start is as similar as itself.
    (same,) = optimize(model, starts[:1], Search(similarity=1.0, rounds=1, population=8))
    assert same.best == same.start
    assert same.gain == 0.0
    with pytest.raises(UserError, match="not a molecule"):
        optimize(model, ["C("], search)
    with pytest.raises(UserError, match="--similarity is from 0 to 1"):
        Search(similarity=1.5)
    assert math.isnan(summary([])["gain"])


def test_a_walk_has_molecules_only_and_is_drawn(model: MoleculeModel, tmp_path: Path) -> None:
    from seqvae.tasks.molecules.draw import draw, walk

    found = walk(model, "Cc1ccc(C)cc1", "NC(=O)C1CCC(F)CC1", steps=6)
    assert len(found) == len(set(found)) >= 2
    assert all(molecule(one) is not None for one in found)
    svg = draw([*found, "no molecule"], tmp_path / "walk.svg")
    assert svg.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    png = draw(found, tmp_path / "walk.png", columns=2)
    assert png.read_bytes().startswith(b"\x89PNG")
    for bad, message in (("walk.gif", "drawn as .svg or .png"), ("walk.svg", "no molecules")):
        with pytest.raises(UserError, match=message):
            draw([] if bad == "walk.svg" else found, tmp_path / bad)


def test_damaged_strings_are_no_molecules_and_cost_more(model: MoleculeModel) -> None:
    from seqvae.tasks.molecules.anomaly import broken, detection

    for text in ("CC(=O)Oc1ccccc1C(=O)O", "CCO"):
        bad = broken(text, "character")
        assert bad is not None
        assert molecule(bad) is None
        assert abs(len(bad) - len(text)) <= 1
        assert broken(text, "character") == bad
    wrong = broken("CC(C)(C)c1ccccc1", "valence")
    assert wrong is not None
    assert molecule(wrong) is None
    # A chain of carbons has no atom that must have more than the bonds of any other element.
    assert broken("c1ccccc1", "valence") is None
    found = detection(model, model.held_out(30), samples=4)
    assert found["character"] >= 0.9
    assert found["character_per_character"] >= 0.9


def test_the_command_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqvae.cli import main

    picture = tmp_path / "found.svg"
    search = ["--rounds", "1", "--population", "8", "--property", "logp", "--similarity", "0.1"]
    assert (
        main(["molecules", "optimize", str(run), "Cc1ccc(N)cc1", "--out", str(picture), *search])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["start"] == "Cc1ccc(N)cc1"
    assert picture.is_file()
    assert (
        main(["molecules", "walk", str(run), "Cc1ccc(N)cc1", "CCc1ccc(F)cc1", "--steps", "3"]) == 0
    )
    assert capsys.readouterr().out.split()
    assert main(["molecules", "anomalies", str(run), "--n", "10", "--samples", "2"]) == 0
    assert "AUROC" in capsys.readouterr().out
    assert main(["molecules", "draw", "CCO", "--out", str(tmp_path / "one.png")]) == 0
    assert main(["molecules", "score", str(tmp_path / "nothing.smi")]) == 2
    assert "neither a run nor a file" in capsys.readouterr().err
