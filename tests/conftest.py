"""Shared settings of the tests."""

import contextlib
import os

import pytest

# Tests are tiny: one thread is faster than many, and the machine may be busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

with contextlib.suppress(ImportError):  # the GPU tests also run where there is only pytest
    import hypothesis

    hypothesis.settings.register_profile(
        "seqvae", deadline=None, derandomize=True, max_examples=30, database=None
    )
    hypothesis.settings.load_profile("seqvae")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
