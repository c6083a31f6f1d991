import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae.config import Experiment, read_config
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.objectives import FreeBits
from seqvae.posteriors import Gaussian
from seqvae.training import Trainer, load, train
from seqvae.training import checkpoint as checkpoint_module
from seqvae.training.checkpoint import checkpoints
from tests.training.runs import TRANSFORMER, experiment, kill_at, result, rows


def poison(trainer: Trainer, steps: set[int], value: float = float("nan")) -> None:
    """Spoil what the encoder says in the given steps."""
    assert trainer.model.latent is not None

    def spoil(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:  # noqa: ANN401
        return output * value if module.training and trainer.step in steps else None

    trainer.model.latent.encoder.register_forward_hook(spoil)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_batch_is_skipped_counted_and_logged(value: float, corpus: Corpus, run: Path) -> None:
    model = replace(TRANSFORMER, posterior=Gaussian(8, batch_norm=0.6))
    trainer = Trainer(experiment(corpus, run, model=model, ema=0.9))
    poison(trainer, {5, 9}, value)
    trainer.fit()
    assert all(bool(x.isfinite().all()) for x in trainer.model.state_dict().values())
    logged = [row for row in rows(run, "guard.jsonl") if "skipped" in row["event"]]
    assert [row["step"] for row in logged] == [5, 9]
    assert [row["skipped"] for row in rows(run) if row["split"] == "train"][-1] == 2
    assert load(run, "last").model is not None


def test_a_bad_batch_in_aggressive_training_does_no_harm(corpus: Corpus, run: Path) -> None:
    trainer = Trainer(experiment(corpus, run, aggressive=3, steps=5))
    poison(trainer, {2})
    trainer.fit()
    assert all(bool(x.isfinite().all()) for x in trainer.model.state_dict().values())


def test_bad_batches_without_end_stop_the_run(corpus: Corpus, run: Path) -> None:
    trainer = Trainer(experiment(corpus, run, bad_steps=3))
    poison(trainer, set(range(4, 100)))
    with pytest.raises(UserError, match=r"3 steps in a row .* not finite \(step 6\)") as caught:
        trainer.fit()
    assert "--training" in str(caught.value)
    saved = json.loads((run / "bad_batch_6.json").read_text(encoding="utf-8"))
    assert len(saved["texts"]) == len(saved["indices"]) > 0
    assert all(text for text in saved["texts"])


def test_metrics_are_strict_json_with_finite_numbers(corpus: Corpus, run: Path) -> None:
    train(experiment(corpus, run))
    for row in rows(run):
        numbers = [x for x in row.values() if isinstance(x, float)]
        numbers += row.get("kl_dimensions", [])
        assert all(abs(x) < 1e6 for x in numbers)
    assert {row["split"] for row in rows(run)} == {"train", "valid"}
    assert len(rows(run, "timing.jsonl")) > 0


def test_other_settings_in_the_same_folder(corpus: Corpus, run: Path) -> None:
    first = experiment(corpus, run, steps=2)
    train(first)
    changes: list[tuple[Experiment, str]] = [
        (replace(first, seed=4), "seed was 0, now 4"),
        (
            replace(first, training=replace(first.training, learning_rate=0.1)),
            "training.learning_rate was 0.005, now 0.1",
        ),
        (
            replace(first, model=replace(first.text, posterior=Gaussian(9))),
            "model.posterior.dimension was 8, now 9",
        ),
        (replace(first, objective=FreeBits()), "objective was"),
    ]
    for changed, words in changes:
        with pytest.raises(UserError, match=words):
            train(changed)
    train(changes[0][0], overwrite=True)
    assert read_config(run / "config.json")[0].seed == 4


def test_other_data_in_the_same_folder(corpus: Corpus, run: Path, tmp_path: Path) -> None:
    train(experiment(corpus, run, steps=2))
    (tmp_path / "other.txt").write_text(
        "\n".join(f"the cat sees {i} stones" for i in range(50)), encoding="utf-8"
    )
    other = prepare_text(
        PrepareText(
            inputs=(str(tmp_path / "other.txt"),), out=tmp_path / "other", vocab_size=300, valid=0.2
        ),
        say=lambda notice: None,
    )
    with pytest.raises(UserError, match=r"trained on other data than .*other"):
        train(experiment(other, run, steps=2))


def test_overwrite_deletes_runs_alone(corpus: Corpus, run: Path) -> None:
    run.mkdir()
    (run / "config.json").write_text('{"precious": true}', encoding="utf-8")
    with pytest.raises(UserError, match="not a run of seqvae"):
        train(experiment(corpus, run), overwrite=True)
    assert (run / "config.json").exists()


def test_a_run_of_another_version(corpus: Corpus, run: Path) -> None:
    wanted = experiment(corpus, run, steps=2)
    train(wanted)
    path = run / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "format": 99}), encoding="utf-8")
    for act in (lambda: train(wanted), lambda: load(run)):
        with pytest.raises(UserError, match=r"config\.json: run format 99, this seqvae reads 1"):
            act()
    document["experiment"]["training"]["magic"] = 1
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown field 'magic'.*another version"):
        train(wanted)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        path.unlink()


@pytest.fixture(scope="module")
def killed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints at steps 5 and 10, killed at 13."""
    run = tmp_path_factory.mktemp("killed") / "run"
    kill_at(experiment(corpus, run), 13)
    return run


FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


@pytest.mark.parametrize("how", ["truncated", "altered", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint(name: str, how: str, corpus: Corpus, killed: Path, run: Path) -> None:
    shutil.copytree(killed, run)
    newest = checkpoints(run)[-1]
    damage(newest / name, how)
    if (name, how) == ("manifest.json", "missing"):
        # A checkpoint without its manifest was never whole.
        assert Trainer(experiment(corpus, run)).step == 5
        return
    with pytest.raises(UserError, match="delete") as caught:
        Trainer(experiment(corpus, run))
    assert newest.name in str(caught.value)
    if name != "manifest.json":
        assert name in str(caught.value)
    shutil.rmtree(newest)
    assert Trainer(experiment(corpus, run)).step == 5


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"../x": "0"}', "{"])
def test_a_forged_manifest(content: str, corpus: Corpus, killed: Path, run: Path) -> None:
    shutil.copytree(killed, run)
    (checkpoints(run)[-1] / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="step-000000010"):
        Trainer(experiment(corpus, run))


@pytest.mark.parametrize("state", ["{}", "[]", '{"phases": null}'])
def test_a_forged_state(state: str, corpus: Corpus, killed: Path, run: Path) -> None:
    shutil.copytree(killed, run)
    newest = checkpoints(run)[-1]
    (newest / "state.json").write_text(state, encoding="utf-8")
    hashes = json.loads((newest / "manifest.json").read_text(encoding="utf-8"))
    hashes["state.json"] = checkpoint_module._sha256(newest / "state.json")
    (newest / "manifest.json").write_text(json.dumps(hashes), encoding="utf-8")
    with pytest.raises(UserError, match="does not fit this run"):
        Trainer(experiment(corpus, run))


def test_after_deleting_a_damaged_checkpoint_the_result_is_the_same(
    corpus: Corpus, killed: Path, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(killed, run)
    shutil.rmtree(checkpoints(run)[-1])
    train(experiment(corpus, run))
    train(experiment(corpus, tmp_path / "whole"))
    assert result(run) == result(tmp_path / "whole")


@pytest.mark.parametrize("which", ["best", "last"])
def test_damaged_weights_are_not_loaded(which: Any, corpus: Corpus, run: Path) -> None:  # noqa: ANN401
    train(experiment(corpus, run, steps=2))
    damage(run / which / "model.safetensors", "altered")
    with pytest.raises(UserError, match=rf"{which}/model\.safetensors.*truncated or altered"):
        load(run, which)


def test_weights_of_another_model_are_not_loaded(corpus: Corpus, run: Path) -> None:
    train(experiment(corpus, run, steps=2))
    text = (run / "config.json").read_text(encoding="utf-8")
    (run / "config.json").write_text(text.replace('"dimension": 8', '"dimension": 9'), "utf-8")
    with pytest.raises(UserError, match="do not fit"):
        load(run)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run: it has no config\.json"):
        load(tmp_path / "nothing")


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_checkpoint(
    corpus: Corpus, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = experiment(corpus, run)
    kill_at(wanted, 6)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "save_file", full)
        with pytest.raises(UserError, match=r"cannot write checkpoint .*No space left") as caught:
            train(wanted)
    assert "run the same command again" in str(caught.value)
    assert [path.name for path in checkpoints(run)] == ["step-000000005"]
    assert not list((run / "checkpoints").glob(".*"))
    train(wanted)
    train(experiment(corpus, tmp_path / "whole"))
    assert result(run) == result(tmp_path / "whole")


def test_a_full_disk_when_logging(
    corpus: Corpus, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(experiment(corpus, run))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        trainer.fit()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_device_when_logging(corpus: Corpus, run: Path) -> None:
    trainer = Trainer(experiment(corpus, run, checkpoint_every=1000))
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write the log of run .*No space left"):
        trainer.fit()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_no_permission(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"cannot write the run .*Permission denied"):
        train(experiment(corpus, tmp_path / "locked" / "run"))


def test_a_file_in_the_way(corpus: Corpus, run: Path) -> None:
    run.write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write the run"):
        train(experiment(corpus, run / "below"))


def test_permission_lost_is_explained(
    corpus: Corpus, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "write_bytes", denied)
    with pytest.raises(UserError, match=r"cannot write the run .*Permission denied"):
        train(experiment(corpus, run))


def test_no_corpus_there(corpus: Corpus, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        train(replace(experiment(corpus, run), data=str(tmp_path / "nowhere")))
    assert not run.exists()
