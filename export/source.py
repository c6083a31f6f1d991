"""Facts about where a bundle comes from: the run, and what it was compared by."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from seqvae.config import Experiment
from seqvae.config_json import to_json
from seqvae.errors import UserError


def runtime_facts() -> dict[str, str]:
    """Which ONNX Runtime compares, and where it computes.

    Raises:
        UserError: there is none.
    """
    # Two distributions hold the same module.
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return {"provider": "CPUExecutionProvider", "onnxruntime": version}
    raise UserError('export needs onnxruntime: pip install "seqvae[cpu]"')


def source_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about a run; not its command and paths, which may name people."""
    return dict(_source(info))


def _source(info: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("data_fingerprint", "seqvae", "torch", "step"):
        if name in info:
            yield name, info[name]
    if "fitted_prior" in info:
        yield "fitted_prior", dict(info["fitted_prior"])
    measured = info.get("measured", {})
    if isinstance(measured, dict):
        plain = {k: v for k, v in measured.items() if isinstance(v, int | float | str)}
        yield "metrics", plain
    experiment = info.get("experiment")
    if isinstance(experiment, Experiment):
        values = to_json(experiment)
        yield "experiment", {k: v for k, v in values.items() if k not in ("data", "run")}
