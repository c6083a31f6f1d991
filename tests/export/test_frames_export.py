"""A run on frames leaves as a bundle that opens, says what it is, and is refused once anything in it is changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from seqvae.cli import main
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_sequences import read_sequences
from seqvae.export.frames_export import export_frames
from seqvae.export.frames_golden import write_with_torch
from seqvae.export.frames_verify import ERROR
from seqvae.export.triton_repo import write_triton_repository
from seqvae.tasks.frames_model import FramesModel
from seqvae.training import load_frames, train
from tests.export.framed import CONDITIONAL, FEATURES, LABELS, LONGEST, frames_model
from tests.training.test_frames import experiment, stripes


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[FramesModel, Bundle]:
    model = frames_model(CONDITIONAL)
    return model, export_frames(model, tmp_path_factory.mktemp("bundle") / "frames")


def test_it_says_what_it_is(exported: tuple[FramesModel, Bundle]) -> None:
    _, bundle = exported
    assert bundle.kind == "frames" and bundle.labels == LABELS and bundle.latent == 5
    facts = bundle.frames
    assert facts is not None and (facts.features, facts.longest) == (FEATURES, LONGEST)
    assert (facts.least, facts.greatest, facts.divide, facts.binarise) == (-1.0, 2.0, 4.0, None)
    assert bundle.variants["cpu-fp32"].parts == ("model", "encoder", "decoder", "generate")
    assert bundle.variants["cpu-fp32"].verify["frames_error"] < ERROR
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "at most 7 frames of 3 numbers" in readme and "raw numbers divided by 4" in readme
    context = onnxruntime.ModelPackageContext(str(bundle.path))
    assert context.get_variant_names("model") == ["cpu-fp32"]


def test_what_its_readme_says_runs(
    exported: tuple[FramesModel, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, bundle = exported
    monkeypatch.chdir(bundle.path)
    readme = Path("README.md").read_text(encoding="utf-8")
    known: dict[str, Any] = {}
    for block in readme.split("```python\n")[1:]:
        exec(block.split("```")[0].replace("this folder", "."), known)  # noqa: S102
    assert [len(one) for one in known["again"]] == [7, 3] and len(known["new"]) == 5
    zeros = np.zeros((2, LONGEST, FEATURES))
    wanted = np.stack(model.reconstruct(zeros, ["one"] * 2))
    np.testing.assert_allclose(known["written"], wanted, atol=1e-5)


def test_golden_sequences_are_what_pytorch_writes(exported: tuple[FramesModel, Bundle]) -> None:
    model, bundle = exported
    rows = read_sequences(bundle)
    assert {"noise-7", "around", "further", "switched"} <= {row.name for row in rows}
    for row in rows:
        wanted = write_with_torch(model, row)  # type: ignore[arg-type]
        np.testing.assert_allclose(row.written["cpu-fp32"], wanted.written, atol=1e-4)


def flip(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)


def say(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((bundle / "seqvae.json").read_text(encoding="utf-8"))
    change(document)
    (bundle / "seqvae.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flip(path, "cpu-fp32/model.onnx"), "model.onnx: its sha256 is"),
        (lambda path: flip(path, "golden/own-7.npy"), "own-7.npy: its sha256 is"),
        (lambda path: (path / "golden" / "own-1.npy").unlink(), "own-1.npy: missing"),
        (lambda path: say(path, lambda d: d["frames"].pop("least")), "frames.least is 'absent'"),
        (lambda path: say(path, lambda d: d["frames"].update(longest=0)), "frames.longest is 0"),
        (lambda path: say(path, lambda d: d["frames"].update(divide=0)), "frames.divide is 0"),
        (lambda path: say(path, lambda d: d["frames"].update(greatest="1")), "frames.greatest"),
        (lambda path: say(path, lambda d: d.update(kind="sound")), "knows text, speech, frames"),
        (lambda path: say(path, lambda d: d.update(kind="text")), "beam_size is 'absent'"),
        (lambda path: say(path, lambda d: d.update(vocabulary=9)), "vocabulary is 'unknown'"),
    ],
)
def test_a_changed_bundle_is_refused(
    exported: tuple[FramesModel, Bundle],
    tmp_path: Path,
    damage: Callable[[Path], object],
    said: str,
) -> None:
    shutil.copytree(exported[1].path, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(UserError, match=said):
        Bundle.open(tmp_path / "copy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 9), np.float32), r"not frames \[T, 3\]"),
        (np.zeros((2, 3)), r"not frames \[T, 3\]"),
        (np.array([{"a": 1}]), "not golden sequences"),
    ],
    ids=["too wide", "too exact", "pickled"],
)
def test_golden_numbers_are_not_trusted(
    exported: tuple[FramesModel, Bundle], tmp_path: Path, values: np.ndarray[Any, Any], said: str
) -> None:
    path = tmp_path / "copy"
    shutil.copytree(exported[1].path, path)
    bundle = Bundle.open(path)
    np.save(path / "golden" / "own-7.npy", values, allow_pickle=True)
    with pytest.raises(UserError, match=said):
        read_sequences(bundle)


def test_a_model_that_says_something_else_is_not_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = frames_model(CONDITIONAL)
    write, count = FramesModel.batch, 0

    def otherwise(self: FramesModel, *given: Any) -> Any:  # noqa: ANN401
        nonlocal count
        count += 1
        found = write(self, *given)
        found.values[:] += 0.5
        return found

    monkeypatch.setattr(FramesModel, "batch", otherwise)
    with pytest.raises(UserError, match="does not write what PyTorch writes: cpu-fp32: frames_err"):
        export_frames(model, tmp_path / "out")
    assert count > 0 and not (tmp_path / "out").exists()


def test_triton_merges_requests_of_one_length(
    exported: tuple[FramesModel, Bundle], tmp_path: Path
) -> None:
    _, bundle = exported
    place = write_triton_repository(bundle, tmp_path)
    config = (place / "config.pbtxt").read_text(encoding="utf-8")
    assert 'name: "frames", data_type: TYPE_FP32, dims: [-1, 3]' in config
    assert "| 2 | three |" in (place / "README.md").read_text(encoding="utf-8")
    graph = onnxruntime.InferenceSession(place / "1" / "model.onnx")
    plain = onnxruntime.InferenceSession(bundle.part(None))
    assert not graph.get_overridable_initializers()
    frames = np.random.default_rng(0).random((2, 4, FEATURES), np.float32)
    feed = {
        "frames": frames,
        "lengths": np.array([[4], [2]]),
        "label": np.array([[1], [0]]),
        "target": np.array([[-1], [2]]),
        "noise_scale": np.ones((2, 1), np.float32),
        "seed": np.array([[3], [4]]),
        "sample": np.zeros((2, 1), np.int64),
    }
    flat = {n: v[:, 0] if n in ("lengths", "label", "target") else v for n, v in feed.items()}
    for found, wanted in zip(graph.run(None, feed), plain.run(None, flat), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_run_is_exported_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, _ = stripes(100)
    np.save(tmp_path / "bars.npy", values)
    corpus = prepare_frames(
        PrepareFrames(inputs=(tmp_path / "bars.npy",), out=tmp_path / "corpus", binarise=0.5)
    )
    run, out = tmp_path / "run", tmp_path / "bundle"
    train(experiment(corpus, run, steps=2, validate_every=1))
    assert main(["export", str(run), str(out)]) == 0
    told = capsys.readouterr().out
    assert "alone = batch" in told and "README.md in it says how to call it" in told
    bundle = Bundle.open(out)
    assert bundle.labels == () and bundle.source["data_fingerprint"]
    assert bundle.frames is not None and bundle.frames.binarise == 0.5
    # From the file as its README says, with nothing but ONNX Runtime.
    session = onnxruntime.InferenceSession(out / "cpu-fp32" / "model.onnx")
    frames = np.round(values[:3]).astype(np.float32)
    written = session.run(["written"], {"frames": frames})[0]
    wanted = np.stack(load_frames(run).reconstruct(frames))
    np.testing.assert_allclose(written, wanted, atol=1e-5)
    assert main(["export", str(run), str(out)]) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert main(["serve", str(out)]) == 2
    assert "is a bundle of frames, which is not served" in capsys.readouterr().err
