"""The decoder one token at a time, its state kept where it is computed.

`start` makes the state from z: constants `cond_*` and caches (`kv_*`, `h_*`). `step` takes a token, its
position and the state, and gives logits and, under the name `n_x`, what cache `x` is next.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from seqvae.serving.session import Graphs

Array = np.ndarray[Any, np.dtype[Any]]
NEXT = "n_"


class Stepper(Protocol):
    """One streaming decoder; not for two streams at once."""

    def start(self, z: Array | None, limit: int) -> None:
        """Begin one sequence for each z [B, D], of up to `limit` steps."""

    def step(self, token: Array, position: int) -> Array:
        """Logits [B, V] after a token int64 [B, 1] at `position`, counted from 0."""


class FeedStepper:
    """`Stepper` that hands the state over as arrays: fastest on a processor.

    Args:
        graphs: hold `start` and `step`.
    """

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._state: dict[str, Array] = {}
        self._names = graphs.outputs("step")

    def start(self, z: Array | None, limit: int) -> None:
        """See `Stepper.start`."""
        self._state = self._graphs.run("start", start_feeds(self._graphs, z))

    def step(self, token: Array, position: int) -> Array:
        """See `Stepper.step`."""
        feeds = {"token": token, "position": np.array(position, np.int64), **self._state}
        out = self._graphs.run("step", feeds, self._names)
        self._state |= following(out)
        return out["logits"]


class BoundStepper:
    """`Stepper` whose state stays on the device: only tokens go there and only logits come back.

    Args:
        start: open session of `start`.
        step: open session of `step`.
        device: onnxruntime's name, `cuda` or `cpu`.
    """

    def __init__(self, start: Any, step: Any, device: str) -> None:  # noqa: ANN401
        self._start, self._step, self._device = start, step, device
        self._state: dict[str, Any] = {}

    def start(self, z: Array | None, limit: int) -> None:
        """See `Stepper.start`."""
        self._state = self._run(self._start, start_feeds_of(self._start, z), {})

    def step(self, token: Array, position: int) -> Array:
        """See `Stepper.step`."""
        feeds = {"token": token, "position": np.array(position, np.int64)}
        out = self._run(self._step, feeds, self._state)
        logits: Array = out.pop("logits").numpy()
        self._state |= following(out)
        return logits

    def _run(
        self,
        session: Any,  # noqa: ANN401
        feeds: Mapping[str, Array],
        state: Mapping[str, Any],
    ) -> dict[str, Any]:
        binding = session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for name, value in state.items():
            binding.bind_ortvalue_input(name, value)
        names = [output.name for output in session.get_outputs()]
        for name in names:
            # Their sizes grow: onnxruntime allocates them.
            binding.bind_output(name, "cpu" if name == "logits" else self._device)
        session.run_with_iobinding(binding)
        return dict(zip(names, binding.get_outputs(), strict=True))


def following(out: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a step, from its outputs `n_*`."""
    return {name[len(NEXT) :]: value for name, value in out.items() if name.startswith(NEXT)}


def start_feeds(graphs: Graphs, z: Array | None) -> dict[str, Array]:
    """What `start` takes for each z [B, D]; one row for a language model."""
    return _start_feeds(graphs.inputs("start"), z)


def start_feeds_of(session: Any, z: Array | None) -> dict[str, Array]:  # noqa: ANN401
    """`start_feeds` for an open session."""
    return _start_feeds(frozenset(value.name for value in session.get_inputs()), z)


def _start_feeds(known: frozenset[str], z: Array | None) -> dict[str, Array]:
    feeds = {"rows": np.zeros((1, 1), np.int64)} if z is None else {"z": z}
    return {name: value for name, value in feeds.items() if name in known}
