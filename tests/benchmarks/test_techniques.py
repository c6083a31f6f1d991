"""The techniques against collapse that are compared: each is a run that can be described and trained."""

from dataclasses import replace

from benchmarks.collapse_matrix import cells
from benchmarks.techniques import naive, techniques
from seqvae.config import Experiment, preset
from seqvae.config_json import from_json, to_json


def test_each_is_another_run_and_says_so_in_its_file() -> None:
    base = preset("tiny")
    found = techniques(base)
    written = {name: to_json(experiment) for name, experiment in found.items()}
    for name, document in written.items():
        assert from_json(Experiment, document) == found[name]
        assert [other for other, same in written.items() if same == document] == [name]


def test_all_but_the_base_itself_differ_from_the_textbook_run_alone() -> None:
    base = preset("tiny")
    plain = naive(base)
    for name, experiment in techniques(base).items():
        if name not in ("vae", "lagrangian"):
            assert experiment.training.guard == "off", name
            assert replace(
                experiment.training, autoencoder=0.0, aggressive=0, noise=plain.training.noise
            ) == (plain.training), name


def test_what_is_beside_the_bound_has_its_networks() -> None:
    found = techniques(preset("tiny"))
    bag = found["bag_of_words"].text.build(50)
    assert bag.bag_of_words is not None
    assert found["fraternal"].text.build(50).fraternal == 1.0
    assert found["fraternal"].text.word_dropout > 0
    assert found["importance"].objective.build().samples == 8


def test_a_skip_is_for_the_gru_alone() -> None:
    known = cells(preset("tiny"))
    assert known["gru-skip"].text.build(50).decoder is not None
    assert "transformer-skip" not in known
    assert set(known) >= {"gru-naive", "transformer-naive", "gru-lm", "transformer-lm"}
