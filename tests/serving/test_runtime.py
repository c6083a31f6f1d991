import sys
import warnings
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqvae.errors import UserError
from seqvae.serving import runtime
from seqvae.serving.session import Sessions
from tests.serving import toy_graphs


def pretend(patch: pytest.MonkeyPatch, *providers: str, distributions: tuple[str, ...]) -> None:
    """Another machine: what onnxruntime offers, and which distributions of it are installed."""
    package = SimpleNamespace(get_available_providers=lambda: list(providers))
    patch.setattr(runtime, "onnxruntime", lambda: package)

    def version(name: str) -> str:
        if name in distributions:
            return "1.2.3"
        raise metadata.PackageNotFoundError(name)

    patch.setattr(metadata, "version", version)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, runtime.CUDA, runtime.CPU, distributions=("onnxruntime-gpu",))
    assert [runtime.resolve(p) for p in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, runtime.CPU, distributions=("onnxruntime",))
    with warnings.catch_warnings(action="error"):
        assert [runtime.resolve(p) for p in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.warns(runtime.FallbackWarning, match=r"computes on the CPU.*seqvae\[gpu\]"):
        assert runtime.resolve("cuda") == "cpu"


def test_two_distributions_in_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("onnxruntime", "onnxruntime-gpu")
    named = r"onnxruntime 1\.2\.3 and onnxruntime-gpu 1\.2\.3 are both installed"
    pretend(monkeypatch, runtime.CPU, distributions=both)
    with pytest.raises(UserError, match=named):
        runtime.resolve("cuda")
    with pytest.warns(runtime.FallbackWarning, match=named):
        assert runtime.resolve("auto") == "cpu"
    with warnings.catch_warnings(action="error"):
        assert runtime.resolve("cpu") == "cpu"
    pretend(monkeypatch, runtime.CUDA, runtime.CPU, distributions=both)
    with warnings.catch_warnings(action="error"):  # the one for the GPU won
        assert runtime.resolve("cuda") == "cuda"


def test_an_unknown_provider() -> None:
    with pytest.raises(UserError, match="provider is 'tpu'"):
        runtime.resolve("tpu")  # type: ignore[arg-type]


def test_missing_packages_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"seqvae\[cpu\].*seqvae\[gpu\]"):
        runtime.onnxruntime()
    # What uninstalling one of two distributions leaves: a folder without code.
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())
    with pytest.raises(UserError, match="empty folder"):
        runtime.onnxruntime()
    monkeypatch.setitem(sys.modules, "onnxruntime_extensions", None)
    with pytest.raises(UserError, match=r"onnxruntime-extensions.*seqvae\[serve\]"):
        Sessions({}, extensions=True)


def test_cuda_gets_its_options() -> None:
    assert runtime.providers_of("cpu") == [runtime.CPU]
    (name, options), last = runtime.providers_of("cuda")
    assert (name, last) == (runtime.CUDA, runtime.CPU)
    assert options == {"cudnn_conv_algo_search": "HEURISTIC"}
    (_, options), _ = runtime.providers_of("cuda", graphs=True)
    assert options["enable_cuda_graph"] == "1"


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_cuda_that_does_not_start_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "preload", lambda: None)
    sessions = Sessions({"model": toy_graphs.adder(tmp_path / "model.onnx")}, provider="cuda")
    with pytest.warns(runtime.FallbackWarning, match=r"could not start CUDA for model\.onnx"):
        sessions.session("model")
