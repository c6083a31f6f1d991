"""The ONNX Runtime operators: equal to the references, for any batch, with clear errors.

Needs onnxruntime, onnx and its C++ headers: set ORT_INCLUDE_DIR to the folder with onnxruntime_cxx_api.h, for instance
from Debian's package libonnxruntime-dev.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seqvae.ops import gaussian_kl, gaussian_latent, normal
from tests.kernels import toy

HEADER = "onnxruntime_cxx_api.h"
PLACES = (os.environ.get("ORT_INCLUDE_DIR", ""), "/usr/include/onnxruntime")
HEADERS = next((place for place in PLACES if (Path(place) / HEADER).is_file()), None)
Array = npt.NDArray[Any]

pytestmark = [
    pytest.mark.skipif(HEADERS is None, reason=f"no {HEADER}: set ORT_INCLUDE_DIR"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
        reason="onnx and onnxruntime are not installed",
    ),
]


@functools.cache
def library() -> Path:
    return toy.cmake(f"-DORT_INCLUDE_DIR={HEADERS}", name="ort")


def session(op: str, inputs: dict[str, str], **attributes: Any) -> Any:  # noqa: ANN401
    """A model of one node; an input is named with its element type."""
    import onnxruntime
    from onnx import TensorProto, helper

    kinds = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "float16": TensorProto.FLOAT16}
    values = [
        helper.make_tensor_value_info(name, kinds[kind], None)
        for name, kind in inputs.items()
        if kind
    ]
    names = [name if kind else "" for name, kind in inputs.items()]
    node = helper.make_node(op, names, ["out"], domain="ai.seqvae", **attributes)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], op, values, [out])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.seqvae", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(str(library()))
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def draw(*shape: int, offset: int) -> Array:
    return np.asarray(normal(torch.tensor([9]), shape, offset).numpy())


SHAPES = [(1, 1), (3, 63), (257,), (2, 3, 5), (0, 4)]
STATISTICS = {"mean": "float", "log_variance": "float"}


@pytest.mark.parametrize("free_bits", [0.0, 2.5])
def test_kl_rows_equals_the_reference_for_any_batch(free_bits: float) -> None:
    # One session, many shapes: the batch is dynamic.
    run = session("KLRows", STATISTICS, free_bits=free_bits).run
    for shape in SHAPES:
        mean, log_variance = draw(*shape, offset=1), draw(*shape, offset=2)
        (got,) = run(None, {"mean": mean, "log_variance": log_variance})
        kl = gaussian_kl(torch.from_numpy(mean), torch.from_numpy(log_variance)).sum(-1)
        expected = kl.clamp_min(free_bits).numpy()
        assert got.shape == shape[:-1]
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_sample_latent_equals_the_reference_for_any_batch(samples: int) -> None:
    inputs = {**STATISTICS, "seed": "int64", "offset": "int64", "noise_scale": "float"}
    run = session("SampleLatent", inputs, samples=samples).run
    for shape in SHAPES:
        mean, log_variance = draw(*shape, offset=1), draw(*shape, offset=2)
        given = {
            "mean": mean,
            "log_variance": log_variance,
            "seed": np.array([-(2**40) + 7]),
            "offset": np.array([2**33 + 1]),
            "noise_scale": np.array([0.7], dtype=np.float32),
        }
        (got,) = run(None, given)
        expected = gaussian_latent(
            torch.from_numpy(mean),
            torch.from_numpy(log_variance),
            torch.from_numpy(given["seed"]),
            offset=torch.from_numpy(given["offset"]),
            samples=samples or None,
            noise_scale=0.7,
        )[0].numpy()
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6)


def test_optional_inputs_have_defaults() -> None:
    mean, log_variance = draw(3, 5, offset=1), draw(3, 5, offset=2)
    given = {"mean": mean, "log_variance": log_variance, "seed": np.array([4])}
    three = session("SampleLatent", {**STATISTICS, "seed": "int64"}).run(None, given)[0]
    full = {**STATISTICS, "seed": "int64", "offset": "", "noise_scale": "float"}
    scale = np.ones(1, dtype=np.float32)
    five = session("SampleLatent", full).run(None, {**given, "noise_scale": scale})[0]
    expected = gaussian_latent(
        torch.from_numpy(mean), torch.from_numpy(log_variance), torch.tensor([4])
    )[0]
    np.testing.assert_allclose(three, expected.numpy(), rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(three, five)


def test_seven_rounds_give_other_noise() -> None:
    given = {
        "mean": draw(3, 5, offset=1),
        "log_variance": draw(3, 5, offset=2),
        "seed": np.array([4]),
    }
    inputs = {**STATISTICS, "seed": "int64"}
    ten, seven = (session("SampleLatent", inputs, rounds=n).run(None, given)[0] for n in (10, 7))
    assert not np.allclose(ten, seven)


def test_mistakes_are_named() -> None:
    mean = draw(3, 5, offset=1)
    kl = session("KLRows", STATISTICS).run
    sample = session("SampleLatent", {**STATISTICS, "seed": "int64"}).run
    for run, given, message in (
        (kl, {"mean": mean, "log_variance": mean[:, :4].copy()}, "differ in shape"),
        (kl, {"mean": mean[0, 0], "log_variance": mean[0, 0]}, "got a scalar"),
        (
            sample,
            {"mean": mean, "log_variance": mean, "seed": np.array([1, 2])},
            "seed must have one",
        ),
    ):
        with pytest.raises(Exception, match=message):
            run(None, {name: np.asarray(value) for name, value in given.items()})
    for attributes, message in (({"samples": -1}, "negative"), ({"rounds": 8}, "7 or 10")):
        with pytest.raises(Exception, match=message):
            session("SampleLatent", {**STATISTICS, "seed": "int64"}, **attributes)


def python_launch(
    op: str, many: bool = False, samples: int = 1, scale: float = 1.0
) -> tuple[str, list[str]]:
    """Variant, and grid, threads and arguments (addresses as "*") that the Python launcher starts for [66, 64] rows."""
    from seqvae.kernels import gaussian_launch as kernels

    calls: list[Any] = []
    x, seed = torch.zeros(66, 64), torch.zeros(1, dtype=torch.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "start", lambda *call: calls.append(call))
        if op == "kl_rows":
            kernels.kl_rows("aot", kernels.plan(op, 90, x, x), x, x, 1.5)
        else:
            plan = kernels.plan(op, 90, x, x, MANY=many, ROUNDS=10)
            offset = seed if many else None
            kernels.sample_latent(
                *("aot", plan, x, x, seed, offset),
                offset_value=0,
                samples=samples,
                noise_scale=scale,
            )
    ((_, variant, _, grid, arguments, _, launch),) = calls
    slots = [grid[0], 1, 1, 32 * launch.warps]
    text = [str(slot) for slot in slots]
    for value in arguments:
        if isinstance(value, torch.Tensor):
            text.append("*")
        else:
            bits = value if type(value) is int else np.float32(value).view(np.uint32).item()
            text.append(f"{bits:x}")
    return variant, text


@toy.needs_compilers
def test_cuda_operators_launch_what_the_python_launcher_launches() -> None:
    # No CUDA provider runs here: the operators stand in for the CPU's, and the driver takes notes.
    from seqvae.kernels.aot.build import build

    expected = {
        "kl": python_launch("kl_rows"),
        "one": python_launch("sample_latent"),
        "many": python_launch("sample_latent", True, 3, 0.5),
    }
    cubins = toy.workplace() / "gaussian"
    names = [variant for variant, _ in expected.values()]
    build(cubins, [90], modules=["seqvae.kernels.gaussian_launch"], names=names)
    built = toy.cmake(
        f"-DORT_INCLUDE_DIR={HEADERS}",
        f"-DSEQVAE_CUBINS={cubins}",
        "-DSEQVAE_ORT_CUDA_PROVIDER=CPUExecutionProvider",
        name="ort_cuda",
    )
    paths = {"PYTHONPATH": str(toy.ROOT), "LD_LIBRARY_PATH": str(toy.driver())}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.ort_launches", str(built)],
        cwd=toy.ROOT,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for case, (variant, launched) in expected.items():
        name, x, y, z, threads, _, stream, *slots = found[case].split()
        got = [x, y, z, threads, *slots]
        hidden = ["*" if want == "*" else have for have, want in zip(got, launched, strict=True)]
        assert (name, stream, hidden) == ("cuLaunchKernel", "(nil)", launched), variant
    assert "no kernel kl_rows_fp32_d*_w1 for D = 63 on sm_90" in found["narrow"]
