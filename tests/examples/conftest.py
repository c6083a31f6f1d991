"""What the examples are given."""

from pathlib import Path

import pytest

from tests.examples.echo_model import echo_model


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a model.onnx where bundles have it; the model writes what it was asked for."""
    path = tmp_path / "bundle" / "cpu-fp32" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(echo_model().SerializeToString())
    return tmp_path / "bundle"
