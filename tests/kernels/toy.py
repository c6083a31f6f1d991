"""Small kernels, a library that embeds them, and a driver that only takes notes: for tests of the ahead-of-time build."""

import atexit
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "toy_kernels"
SOURCE = """
import triton
import triton.language as tl

from seqvae.kernels.launch import Launch
from seqvae.kernels.variant import Variant


@triton.jit
def axpy(x, y, out, n, scale, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    value = tl.load(x + at, mask=inside).to(tl.float32) * scale + tl.load(y + at, mask=inside).to(tl.float32)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def product(a, b, out, N: tl.constexpr):
    row = tl.arange(0, N)
    at = row[:, None] * N + row[None, :]
    tl.store(out + at, tl.dot(tl.load(a + at), tl.load(b + at)))


def variants(arch):
    row = Launch(1024, "*", 80, {"BLOCK": 1024}, 4, 3)
    for dtype in ("bf16", "fp32"):
        pointers = {name: f"*{dtype}" for name in ("x", "y", "out")}
        yield Variant("axpy", f"axpy_{dtype}", axpy,
                      {**pointers, "n": "i64", "scale": "fp32", "BLOCK": "constexpr"},
                      {"BLOCK": 1024}, ("x", "y", "out"), row, 1024)
    if arch == 90:
        yield Variant("product", "product_fp16", product,
                      {"a": "*fp16", "b": "*fp16", "out": "*fp32", "N": "constexpr"},
                      {"N": 128}, ("a", "b", "out"), Launch(128, "*", 80, {}, 8, 3), 128 * 128,
                      tensor_cores=True)
"""
# What the library asks of the driver, written down; `fake_*` set what it answers.
DRIVER = r"""
#include <cstdint>
#include <cstdio>
#include <cstring>
#define API extern "C" __attribute__((visibility("default")))
static void* context = nullptr;
static const char* failing = "";
static int failure = 0, parameters = 0;
static char notes[65536];
static int used = 0;
template <class... T> static int note(const char* name, const char* format, T... values) {
  used += snprintf(notes + used, sizeof notes - used, "%s ", name);
  used += snprintf(notes + used, sizeof notes - used, format, values...);
  used += snprintf(notes + used, sizeof notes - used, "\n");
  return std::strcmp(name, failing) == 0 ? failure : 0;
}
API void fake_context(void* value) { context = value; }
API void fake_failure(const char* name, int status) { failing = name; failure = status; }
API void fake_parameters(int count) { parameters = count; }
API const char* fake_notes() { return notes; }
API void fake_clear() { used = 0; notes[0] = 0; }
API int cuInit(unsigned) { return note("cuInit", "%s", ""); }
API int cuCtxGetCurrent(void** out) { *out = context; return context ? 0 : 3; }
API int cuCtxSetCurrent(void* value) { context = value; return note("cuCtxSetCurrent", "%p", value); }
API int cuDeviceGet(int* out, int device) { *out = device; return note("cuDeviceGet", "%d", device); }
API int cuCtxGetDevice(int* out) { *out = 2; return context ? 0 : 201; }
API int cuDeviceGetAttribute(int* out, int attribute, int) { *out = attribute == 75 ? 9 : 0; return 0; }
API int cuDevicePrimaryCtxRetain(void** out, int device) {
  *out = reinterpret_cast<void*>(0x1000 + static_cast<intptr_t>(device));
  return note("cuDevicePrimaryCtxRetain", "%d", device);
}
API int cuModuleLoadData(void** out, const unsigned char* image) {
  *out = const_cast<unsigned char*>(image);
  return note("cuModuleLoadData", "%c%c%c", image[1], image[2], image[3]);
}
API int cuModuleGetFunction(void** out, void* module, const char* name) {
  *out = module;
  return note("cuModuleGetFunction", "%s", name);
}
API int cuFuncSetAttribute(void*, int attribute, int value) {
  return note("cuFuncSetAttribute", "%d %d", attribute, value);
}
API int cuGetErrorName(int, const char** out) { *out = "CUDA_ERROR_TEST"; return 0; }
API int cuGetErrorString(int, const char** out) { *out = "as the test asked"; return 0; }
API int cuThreadExchangeStreamCaptureMode(int* mode) {
  static int present = 0;
  const int asked = *mode;
  *mode = present;
  present = asked;
  return note("cuThreadExchangeStreamCaptureMode", "%d", asked);
}
API int cuLaunchKernel(void*, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned,
                       unsigned shared, void* stream, void** arguments, void**) {
  char text[512] = "";
  for (int i = 0; i < parameters; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, arguments[i], 8);
    snprintf(text + std::strlen(text), 32, " %llx", static_cast<unsigned long long>(value));
  }
  return note("cuLaunchKernel", "%u %u %u %u %u %p%s", x, y, z, threads, shared, stream, text);
}
"""
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")
needs_compilers = pytest.mark.skipif(
    not HAS_TRITON or sys.platform != "linux" or shutil.which("c++") is None,
    reason="needs triton, Linux and a C++ compiler",
)


@functools.cache
def workplace() -> Path:
    """A folder that this test process removes at its end, with the kernels' source importable."""
    folder = Path(tempfile.mkdtemp(prefix="seqvae-aot-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / f"{NAME}.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    return folder


@functools.cache
def cubins() -> Path:
    """The toy kernels compiled for sm_80 and sm_90."""
    from seqvae.kernels.aot.build import build

    build(workplace() / "cubins", modules=[NAME])
    return workplace() / "cubins"


def cmake(*options: str, name: str) -> Path:
    """Build the native library with extra CMake options and return it."""
    program = shutil.which(
        "cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if program is None:
        pytest.skip("cmake is not installed")
    folder = workplace() / name
    for call in (["-S", str(ROOT), "-B", str(folder), *options], ["--build", str(folder)]):
        done = subprocess.run([program, *call], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.rglob("_native.so"))


@functools.cache
def library() -> Path:
    """The native library with the toy kernels in it."""
    return cmake(f"-DSEQVAE_CUBINS={cubins()}", name="library")


@functools.cache
def driver() -> Path:
    """Folder with a ``libcuda.so.1`` that writes down its calls."""
    folder = workplace() / "driver"
    folder.mkdir()
    source = folder / "driver.cpp"
    source.write_text(DRIVER)
    target = str(folder / "libcuda.so.1")
    subprocess.run(["c++", "-shared", "-fPIC", "-o", target, str(source)], check=True)
    return folder
