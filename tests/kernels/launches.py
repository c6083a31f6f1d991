"""Launch toy kernels on a driver that writes down its calls; started by test_aot.py with that driver on its path."""

import ctypes
import json
from collections.abc import Callable
from typing import Any

from seqvae.kernels.native import cuda


class Address:
    """Stands for a tensor: has an address."""

    def __init__(self, address: int) -> None:
        self.address = address

    def data_ptr(self) -> int:
        return self.address


def main() -> None:
    fake = ctypes.CDLL("libcuda.so.1")
    fake.fake_notes.restype = ctypes.c_char_p
    fake.fake_context.argtypes = [ctypes.c_void_p]
    found: dict[str, Any] = {}

    def step(name: str, action: Callable[[], object]) -> None:
        try:
            action()
            error = None
        except (cuda.LaunchError, TypeError) as caught:
            error = [type(caught).__name__, getattr(caught, "status", None), str(caught)]
        notes = fake.fake_notes().decode().splitlines()
        found[name] = {"error": error, "notes": notes}
        fake.fake_clear()

    axpy, product = cuda.kernel("axpy_bf16", 90), cuda.kernel("product_fp16", 90)
    assert axpy is not None and product is not None
    good = (Address(0x1000), Address(0x2000), None, 2**33, 1.5)
    fake.fake_parameters(7)
    found["arch"] = cuda.device_arch(1)
    fake.fake_clear()
    step("no context", lambda: axpy((5,), good, 1, 0))
    step("load", lambda: axpy.load(1))
    step("again", lambda: axpy((5, 2, 3), good, 1, 0xAB))
    fake.fake_context(0x7777)
    step("another context", lambda: axpy((5,), good, 1, 0))
    fake.fake_parameters(5)
    step("shared memory", lambda: product((1,), good[:3], 0, 0))
    step("empty grid", lambda: axpy((0,), good, 0, 0))
    step("large grid", lambda: axpy((1, 65536), good, 0, 0))
    step("misaligned", lambda: axpy((1,), (Address(0x1008), *good[1:]), 0, 0))
    step("too few", lambda: axpy((1,), good[:4], 0, 0))
    step("wrong type", lambda: axpy((1,), (*good[:3], 2.5, 1.5), 0, 0))
    fake.fake_failure(b"cuLaunchKernel", 700)
    step("launch fails", lambda: axpy((1,), good, 0, 0))
    fake.fake_failure(b"cuModuleLoadData", 209)
    fake.fake_context(0x8888)
    step("load fails", lambda: axpy((1,), good, 0, 0))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
