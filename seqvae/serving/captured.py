"""The decoder's step as captured CUDA graphs: one for each position, replayed by every later stream.

A step at batch 1 is a hundred small kernels, whose launches take longer than their work. A captured graph
launches all at once, but reads and writes the addresses it was captured with, at the sizes it was
captured with. So each cache lives in two buffers of the largest size, read from one and written to the
other in turn, and every position has a graph of its own (`gpu_graph_id`).

Predicted, not measured: no GPU was there when this was written. It is off unless asked for
(`Engine(..., cuda_graphs=True)`); its buffers and bindings are tested on a processor.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqvae.serving.runtime import onnxruntime
from seqvae.serving.stepper import NEXT, Array, start_feeds_of


@dataclass(frozen=True)
class _Place:
    """Where a part of the state lies.

    Attributes:
        shape: at the start of a sequence.
        axis: the one that grows by one each step; None: none.
        written: whether steps change it.
        buffers: the two that take turns; the same one twice for a constant.
    """

    shape: tuple[int, ...]
    axis: int | None
    written: bool
    buffers: tuple[Any, Any]

    def shape_at(self, position: int) -> list[int]:
        """Before the step at `position`."""
        shape = list(self.shape)
        if self.axis is not None:
            shape[self.axis] += position
        return shape


class CapturedStepper:
    """`Stepper` for one sequence at a time, at fixed addresses.

    Args:
        start: open session of `start`.
        step: open session of `step`, with CUDA graphs enabled where `device` is `cuda`.
        device: onnxruntime's name, `cuda` or `cpu`; graphs are captured on `cuda` only.
        latent: size D of z; 0 for a language model.
        limit: most steps of any stream.
    """

    def __init__(
        self,
        start: Any,  # noqa: ANN401
        step: Any,  # noqa: ANN401
        device: str,
        *,
        latent: int,
        limit: int,
    ) -> None:
        self._ort, self._device, self._limit = onnxruntime(), device, limit
        self._start, self._step = start, step
        # One step shows every size there will be; this one is not captured.
        feeds = start_feeds_of(start, np.zeros((1, latent), np.float32) if latent else None)
        state = _run(start, feeds)
        token, position = np.zeros((1, 1), np.int64), np.zeros((), np.int64)
        options = self._ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "-1")
        feeds = {"token": token, "position": position, **state}
        after = _run(step, feeds, options)
        self._places = {name: self._place(v, after.get(NEXT + name)) for name, v in state.items()}
        self._token, self._position = self._put(token), self._put(position)
        self._logits = self._put(after["logits"])

    def start(self, z: Array | None, limit: int) -> None:
        """See `Stepper.start`."""
        if limit > self._limit:
            raise ValueError(f"{limit} steps asked for, buffers hold {self._limit}")
        binding = self._start.io_binding()
        for name, value in start_feeds_of(self._start, z).items():
            binding.bind_cpu_input(name, value)
        for name, place in self._places.items():
            self._bind(binding.bind_output, name, place.buffers[0], place.shape_at(0))
        self._start.run_with_iobinding(binding)

    def step(self, token: Array, position: int) -> Array:
        """See `Stepper.step`."""
        self._token.update_inplace(np.ascontiguousarray(token))
        self._position.update_inplace(np.array(position, np.int64))
        binding, turn = self._step.io_binding(), position % 2
        binding.bind_ortvalue_input("token", self._token)
        binding.bind_ortvalue_input("position", self._position)
        for name, place in self._places.items():
            source, target = place.buffers[turn], place.buffers[1 - turn]
            self._bind(binding.bind_input, name, source, place.shape_at(position))
            if place.written:
                shape = place.shape_at(position + 1)
                self._bind(binding.bind_output, NEXT + name, target, shape)
        binding.bind_ortvalue_output("logits", self._logits)
        options = self._ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(position + 1))
        self._step.run_with_iobinding(binding, options)
        return np.array(self._logits.numpy())

    def _place(self, value: Array, after: Array | None) -> _Place:
        axis = None
        if after is not None:
            grown = [i for i, n in enumerate(value.shape) if after.shape[i] != n]
            axis = grown[0] if grown else None
        place = _Place(value.shape, axis, after is not None, (None, None))
        size = [math.prod(place.shape_at(self._limit))]
        first = self._ort.OrtValue.ortvalue_from_shape_and_type(size, np.float32, self._device, 0)
        other = first
        if place.written:
            other = self._ort.OrtValue.ortvalue_from_shape_and_type(
                size, np.float32, self._device, 0
            )
        return _Place(value.shape, axis, place.written, (first, other))

    def _bind(self, bind: Any, name: str, buffer: Any, shape: list[int]) -> None:  # noqa: ANN401
        bind(name, self._device, 0, np.float32, shape, buffer.data_ptr())

    def _put(self, value: Array) -> Any:  # noqa: ANN401
        return self._ort.OrtValue.ortvalue_from_numpy(np.array(value), self._device, 0)


def _run(
    session: Any,  # noqa: ANN401
    feeds: dict[str, Array],
    options: Any = None,  # noqa: ANN401
) -> dict[str, Array]:
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds, options), strict=True))
