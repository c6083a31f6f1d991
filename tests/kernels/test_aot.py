"""The ahead-of-time build: identical bytes, only what changed, clear errors, and launches up to the driver's door."""

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqvae.errors import UserError
from seqvae.kernels import start
from seqvae.kernels.aot import build, compile, embed, registry
from seqvae.kernels.launch import Launch
from seqvae.kernels.native import cuda
from tests.kernels import toy

ARCHS = (80, 90)


@toy.needs_triton
def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    # Another process, and the source in another folder: neither may leave a trace.
    (tmp_path / f"{toy.NAME}.py").write_text(toy.SOURCE)
    code = (
        "from pathlib import Path; from seqvae.kernels.aot.build import build\n"
        f"build(Path('out'), modules=['{toy.NAME}'], jobs=1)"
    )
    path = f"{tmp_path}{os.pathsep}{toy.ROOT}"
    environment = {**os.environ, "PYTHONPATH": path, "TRITON_DEFAULT_FP_FUSION": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    files = sorted(path.name for path in toy.cubins().iterdir())
    assert files == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(files) == 2 * 2 + 1 + 2
    for name in files:
        content = (toy.cubins() / name).read_bytes()
        assert content == (tmp_path / "out" / name).read_bytes(), name
        assert str(toy.workplace()).encode() not in content
        assert str(toy.ROOT).encode() not in content


@toy.needs_triton
def test_the_index_describes_each_kernel() -> None:
    import triton

    index = json.loads((toy.cubins() / build.INDEX).read_text())
    assert index["triton"] == triton.__version__
    rows = {(row["name"], row["arch"]): row for row in index["kernels"]}
    assert set(rows) == {
        *((f"axpy_{d}", a) for d in ("bf16", "fp32") for a in ARCHS),
        ("product_fp16", 90),
    }
    axpy, product = rows["axpy_bf16", 80], rows["product_fp16", 90]
    assert [p["name"] for p in axpy["parameters"]] == ["x", "y", "out", "n", "scale"]
    assert (axpy["op"], axpy["dtype"], axpy["warps"], axpy["scratch"]) == ("axpy", "bf16", 4, 2)
    assert (axpy["target"], product["target"]) == ("sm_80", "sm_90a")
    assert axpy["constants"] == {"BLOCK": 1024}
    assert product["shared"] >= 2 * 2 * 128 * 128
    assert product["tensor_cores"] > 0 == axpy["tensor_cores"]


@toy.needs_triton
def test_only_what_changed_is_compiled_again(tmp_path: Path) -> None:
    built = functools.partial(build.build, modules=[toy.NAME], archs=[80], jobs=1)
    toy.cubins()
    said: list[str] = []
    built(tmp_path, names=["axpy_fp32"], progress=lambda *step: said.append(step[2]))
    assert said == ["axpy_fp32 sm_80"]
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    built(tmp_path, names=["axpy_fp32"], progress=lambda *step: said.append(step[2]))
    assert len(said) == 1
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    rows = built(tmp_path, progress=lambda *step: said.append(step[2]))
    assert said[1:] == ["axpy_bf16 sm_80"]
    assert [row.name for row in rows] == ["axpy_bf16", "axpy_fp32"]
    # Another source: another key. A variant that is gone leaves no file.
    index = json.loads((tmp_path / build.INDEX).read_text())
    index["kernels"][0]["key"] = "of another source"
    index["kernels"][1]["name"] = "of_a_variant_that_is_gone"
    (tmp_path / build.INDEX).write_text(json.dumps(index))
    built(tmp_path, names=["axpy_bf16"], progress=lambda *step: said.append(step[2]))
    assert said[2:] == ["axpy_bf16 sm_80"]
    assert [path.name for path in tmp_path.glob("*.cubin")] == ["axpy_bf16_sm80.cubin"]


@toy.needs_triton
def test_wrong_variants_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = toy.SOURCE.replace("tl.dot(", "tl.no_such_function(")
    (tmp_path / "broken_kernels.py").write_text(broken)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        compile.CompileError, match=r"(?s)product_fp16 for sm_90: .*no_such_function"
    ):
        build.build(tmp_path / "out", [90], modules=["broken_kernels"], names=["product_fp16"])
    with pytest.raises(UserError, match="--arch 70: known are 80, 90"):
        build.build(tmp_path, [70], modules=[toy.NAME])
    with pytest.raises(UserError, match="no variant 'nothing'"):
        build.build(tmp_path, modules=[toy.NAME], names=["nothing"])
    for old, new, message in (
        ('"axpy_{dtype}"', '"axpy {dtype}"', "no C identifier"),
        ('"n": "i64", ', "", "its signature has"),
        ('{"BLOCK": 1024}, ("x"', '{}, ("x"', "it gives constants"),
        ('"n": "i64"', '"n": "u8"', "unknown parameter type 'u8'"),
        ('1024}, ("x", "y", "out")', '1024}, ("z",)', "aligned parameter 'z'"),
        ('f"axpy_{dtype}"', '"axpy"', "another variant has this name"),
    ):
        assert old in toy.SOURCE
        name = f"wrong{abs(hash(message))}"
        (tmp_path / f"{name}.py").write_text(toy.SOURCE.replace(old, new))
        with pytest.raises(ValueError, match=message):
            registry.variants(name, 90)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(UserError, match="TRITON_INTERPRET=1"):
        registry.variants("seqvae.kernels.another", 90)


@toy.needs_triton
@pytest.mark.skipif(not registry.modules(), reason="no kernels yet")
@pytest.mark.parametrize("arch", ARCHS)
def test_every_kernel_and_every_row_of_the_launch_tables_is_built(arch: int) -> None:
    known = {
        (variant.function.__module__, variant.function.__name__)
        for _, _, variant in registry.everything([arch])
    }
    missing = registry.entry_kernels() - known
    assert not missing, f"in no variant: {sorted(missing)}"
    assert not registry.uncovered(arch)


def test_arguments_are_described_by_letters() -> None:
    kinds = [("*bf16", True), ("*i64", False), ("i32", True), ("i64", False), ("fp32", False)]
    letters = [embed.letter(compile.Parameter("x", *kind)) for kind in kinds]
    assert letters == ["P", "p", "I", "l", "f"]


@functools.cache
def launches() -> dict[str, Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(toy.ROOT),
        "LD_LIBRARY_PATH": str(toy.driver()),
        cuda.VARIABLE: str(toy.library()),
    }
    call = [sys.executable, "-m", "tests.kernels.launches"]
    done = subprocess.run(
        call, cwd=toy.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@toy.needs_compilers
def test_a_launch_loads_once_per_context_and_passes_everything() -> None:
    found = launches()
    assert found["arch"] == 90
    load = [
        "cuThreadExchangeStreamCaptureMode 2",
        "cuModuleLoadData ELF",
        "cuModuleGetFunction axpy",
        "cuThreadExchangeStreamCaptureMode 0",
    ]
    context = ["cuInit ", "cuDeviceGet 1", "cuDevicePrimaryCtxRetain 1", "cuCtxSetCurrent 0x1001"]
    arguments = "1000 2000 0 200000000 3fc00000 0 0"
    first = f"cuLaunchKernel 5 1 1 128 0 (nil) {arguments}"
    assert found["no context"] == {"error": None, "notes": [*context, *load, first]}
    assert found["load"] == {"error": None, "notes": []}
    second = f"cuLaunchKernel 5 2 3 128 0 0xab {arguments}"
    assert found["again"] == {"error": None, "notes": [second]}
    assert found["another context"] == {"error": None, "notes": [*load, first]}
    product = found["shared memory"]["notes"]
    assert product[2:4] == ["cuModuleGetFunction product", f"cuFuncSetAttribute 8 {64 * 1024}"]
    assert product[-1] == f"cuLaunchKernel 1 1 1 256 {64 * 1024} (nil) 1000 2000 0 0 0"


@toy.needs_compilers
@pytest.mark.parametrize(
    ("case", "kind", "status", "message", "calls"),
    [
        ("large grid", "LaunchError", -5, "axpy_bf16: grid 1 x 65536 x 1 exceeds", 0),
        ("misaligned", "LaunchError", cuda.MISALIGNED, "argument 0 is no multiple of 16", 0),
        ("too few", "TypeError", None, r"axpy_bf16(PPPlf)", 0),
        ("wrong type", "TypeError", None, r"axpy_bf16(PPPlf)", 0),
        (
            "launch fails",
            "LaunchError",
            700,
            "launching: CUDA_ERROR_TEST (700): as the test asked",
            1,
        ),
        ("load fails", "LaunchError", 209, "loading its machine code: CUDA_ERROR_TEST (209)", 3),
    ],
)
def test_a_refused_launch_says_why(
    case: str, kind: str, status: int | None, message: str, calls: int
) -> None:
    found = launches()[case]
    assert found["error"][:2] == [kind, status]
    assert message in found["error"][2]
    assert len(found["notes"]) == calls


@toy.needs_compilers
def test_an_empty_grid_launches_nothing() -> None:
    assert launches()["empty grid"] == {"error": None, "notes": []}


@contextlib.contextmanager
def opened(monkeypatch: pytest.MonkeyPatch, path: str) -> Iterator[None]:
    """Use another library inside a ``with`` block."""
    caches = (cuda.library, cuda.find, cuda.kernel)
    with monkeypatch.context() as patch:
        patch.setenv(cuda.VARIABLE, path)
        for cached in caches:
            cached.cache_clear()
        yield
    for cached in caches:
        cached.cache_clear()


@toy.needs_compilers
def test_the_library_chooses_code_that_runs_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, str(toy.library())):
        assert cuda.names() == [
            "axpy_bf16_sm80",
            "axpy_bf16_sm90",
            "axpy_fp32_sm80",
            "axpy_fp32_sm90",
            "product_fp16_sm90",
        ]
        chosen = {arch: cuda.find("axpy_fp32", arch) for arch in (75, 80, 86, 89, 90, 91, 100)}
        # sm_80 code serves 8.x, sm_90a code 9.0 alone.
        assert chosen == {75: None, 80: 2, 86: 2, 89: 2, 90: 3, 91: None, 100: None}
        assert start.compiled("product_fp16", 90)
        assert not start.compiled("product_fp16", 80)
        assert not start.compiled("nothing", 90)
        kernel = cuda.kernel("axpy_bf16", 90)
        assert kernel is not None
        assert (kernel.parameters, kernel.constants) == ("PPPlf", {"BLOCK": "1024"})
        # There is no driver here, and its absence is an error of the launch, not of loading the library.
        if not torch.cuda.is_available():
            with pytest.raises(cuda.LaunchError, match="driver cannot be opened"):
                kernel((1,), (0, 0, 0, 1, 1.0), 0, 0)


@toy.needs_compilers
def test_a_library_without_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = toy.driver() / "libcuda.so.1"
    with opened(monkeypatch, str(plain)), pytest.raises(UserError, match="no GPU kernels"):
        cuda.library()
    monkeypatch.setattr(cuda, "source_hash", lambda: "of other files")
    with opened(monkeypatch, str(toy.library())), pytest.raises(UserError, match="other kernel"):
        cuda.library()
    with opened(monkeypatch, "missing.so"), pytest.raises(UserError, match=r"missing\.so"):
        cuda.library()


@toy.needs_compilers
def test_start_places_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def kernel(*call: Any) -> None:  # noqa: ANN401
        calls.append(call)
        if call[0] == (9,):
            raise cuda.LaunchError("argument 0 is no multiple of 16", cuda.MISALIGNED)

    monkeypatch.setattr(start, "_embedded", lambda variant, device: kernel)
    raw = {"_cuda_getCurrentRawStream": lambda device: 40 + device, "_cuda_getDevice": lambda: -1}
    for name, function in raw.items():
        monkeypatch.setattr(torch._C, name, function, raising=False)
    jit = SimpleNamespace(__getitem__=None)
    arguments = (torch.zeros(4), 4, 1.5)
    row = Launch(4, "*", 80, {}, 4, 3)
    start.start("aot", "axpy", jit, (2, 3), arguments, {"BLOCK": 4}, row)
    assert calls == [((2, 3), arguments, -1, 39)]

    class Jit:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:  # noqa: ANN401
            return lambda *values, **options: calls.append((grid, values, options))

    # Misaligned arguments go to the just-in-time compiler.
    start.start("aot", "axpy", Jit(), (9,), arguments, {"BLOCK": 4}, row)
    options = {"BLOCK": 4, "num_warps": 4, "num_stages": 3}
    assert calls[2:] == [((9,), arguments, options)]


def test_the_command_line_teaches() -> None:
    call = [sys.executable, "-m", "seqvae.kernels.aot", "--help"]
    done = subprocess.run(call, cwd=toy.ROOT, capture_output=True, text=True, check=True)
    assert "-DSEQVAE_CUBINS" in done.stdout
    assert "No GPU is needed" in done.stdout
