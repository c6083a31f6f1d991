"""A run becomes a bundle that says what PyTorch says, or nothing is written."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from seqvae import cli_export
from seqvae.config import Experiment, Model, write_config
from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.decoders import Transformer
from seqvae.encoders import Transformer as Encoder
from seqvae.errors import UserError
from seqvae.export import export, verify
from seqvae.export.bundle import Bundle
from seqvae.export.export import export_run
from seqvae.export.verify import Limits
from seqvae.posteriors import Gaussian
from seqvae.training.checkpoint import write_checkpoint

LINES = [
    f"the {a} {b} sat on the {c}"
    for a in ("red", "old", "big")
    for b in ("cat", "dog")
    for c in ("mat", "hill")
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as `seqvae train` leaves it, its weights random and loud enough to write varied texts."""
    folder = tmp_path_factory.mktemp("run")
    model = Model(
        encoder=Encoder(layers=1, width=64, heads=2),
        posterior=Gaussian(8),
        decoder=Transformer(layers=1, width=64, heads=2, prefix=2),
        max_length=24,
    )
    tokenizer = train_tokenizer(LINES, vocab_size=300)
    (folder / "tokenizer.model").write_bytes(tokenizer)
    experiment = Experiment(data=str(folder / "gone"), run=str(folder), model=model)
    facts = {"data_fingerprint": "f" * 64, "labels": [], "pairs": False, "command": "secret"}
    write_config(folder / "config.json", experiment, **facts)
    torch.manual_seed(0)
    network = model.build(Tokenizer(tokenizer).vocab_size)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)
    state = {"step": 7, "measured": {"elbo": 40.5, "kl_dimensions": [1.0]}}
    write_checkpoint(folder / "best", {"model": dict(network.state_dict())}, state)
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    stages: list[tuple[str, float]] = []
    with pytest.MonkeyPatch.context() as patch:
        # Random weights, three times too large, are no model: int8 is farther from them.
        patch.setitem(verify.LIMITS, "int8", Limits(5e-2))
        made = export_run(
            run,
            tmp_path_factory.mktemp("out") / "bundle",
            variants=("cpu-fp32", "cpu-int8"),
            progress=lambda stage, part: stages.append((stage, part)),
        )
    parts = [part for _, part in stages]
    assert parts == sorted(parts) and parts[0] == 0.0 and parts[-1] == 1.0
    return made


def test_the_bundle_is_whole_and_equal_to_pytorch(bundle: Bundle) -> None:
    assert Bundle.open(bundle.path) == bundle
    assert (bundle.latent, bundle.max_length, bundle.default_variant) == (8, 24, "cpu-fp32")
    found = bundle.variant("cpu-fp32").verify
    assert found["logits_error"] <= 1e-5
    assert found["greedy_equal"] == found["sampled_equal"] == found["beam_equal"] == 1.0
    assert found["batch_equal"] == 1.0
    assert 0 < bundle.variant("cpu-int8").verify["logits_error"] <= 5e-2
    assert len(bundle.pieces) == bundle.vocabulary
    assert {"encoder", "prior", "start", "step", "generate", "scorer"} < set(bundle.variant().parts)


def test_golden_rows(bundle: Bundle) -> None:
    rows = bundle.golden
    assert len(rows) >= 16
    assert {"", "今日は天気がいいですね。"} <= {row.text for row in rows}
    assert any(row.options.get("beam") for row in rows)
    assert all(set(row.written) == {"cpu-fp32", "cpu-int8"} for row in rows)


def test_what_is_kept_of_the_run_names_nobody(bundle: Bundle) -> None:
    assert bundle.source["step"] == 7 and bundle.source["metrics"] == {"elbo": 40.5}
    told = json.dumps(bundle.source)
    assert "secret" not in told and "gone" not in told


def test_beyond_the_limits_nothing_is_written(
    bundle: Bundle, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(verify.LIMITS, "fp32", Limits(1e-12))

    def written_before(folder: Path, *_: object, **__: object) -> tuple[str, ...]:
        shutil.copytree(bundle.path / "cpu-fp32", folder, dirs_exist_ok=True)
        return bundle.variant().parts

    # Exporting takes torch half a minute: the graphs of the fixture will do.
    monkeypatch.setattr(export, "export_source", lambda *_: None)
    monkeypatch.setattr(export, "write_variant", written_before)
    with pytest.raises(UserError, match=r"cpu-fp32: logits_error .* \(at most 1e-12\)"):
        export_run(run, tmp_path / "b", variants=("cpu-fp32",), sentences=())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": ()}, "--variants none"),
        ({"variants": ("cpu-fp64",)}, "--variants cpu-fp64"),
        ({"tokenizer": "bpe"}, "--tokenizer 'bpe'"),
        ({"beam_size": 0}, "--beam-size is 0"),
        ({"opset": 17}, "opset is 17"),
    ],
)
def test_options_are_checked(
    run: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export_run(run, tmp_path / "b", **options)  # type: ignore[arg-type]


def test_the_command_line(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_export.export(["--triton-repo", str(tmp_path / "models"), str(bundle.path)])
    assert (tmp_path / "models" / "seqvae" / "config.pbtxt").is_file()
    assert "tritonserver" in capsys.readouterr().out
    with pytest.raises(UserError, match="name RUN and BUNDLE"):
        cli_export.export([str(bundle.path)])
    with pytest.raises(SystemExit) as stopped:
        cli_export.export(["--help"])
    assert stopped.value.code == 0 and "BUNDLE" in capsys.readouterr().out
