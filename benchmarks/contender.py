"""One provider on one case: is it right, what does it keep, and how to call it in each mode."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.operation import TOLERANCE, Case, Inputs, Mode, Operation, Outputs, Provider
from benchmarks.timing import Arm
from seqvae.ops import dispatch


class Contender:
    """A provider with its inputs.

    Args:
        operation: what is computed.
        case: shape and setting.
        provider: how.
        device: where.
    """

    def __init__(
        self, operation: Operation, case: Case, provider: Provider, device: torch.device
    ) -> None:
        self.operation, self.case, self.provider, self.device = operation, case, provider, device
        self.run = provider.make(case)
        self.differentiable = "backward" in case.modes or "both" in case.modes
        self.sets: list[Inputs] = []
        self.upstream: list[list[Tensor]] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """In which the provider is called: on its path, recording gradients if the operation has some."""
        path = cast(dispatch.Path, self.provider.path)
        taken = nullcontext() if path is None else dispatch.use(path)
        with taken, torch.set_grad_enabled(self.differentiable):
            yield

    def prepare(self, sets: int) -> None:
        """Make the sets of inputs that `arm` takes in turn; within `active`."""
        self.sets = [self.inputs(number) for number in range(sets)]
        outputs = self.run(self.sets[0])
        if self.differentiable:
            self.upstream = [self.gradients(outputs, number) for number in range(sets)]

    def inputs(self, number: int) -> Inputs:
        """Set `number` of inputs, as the provider wants them."""
        found = self.operation.inputs(self.case, self.device, number)
        if self.differentiable:
            for name in self.operation.leaves:
                if name in found:
                    found[name].requires_grad_()
        return found if self.provider.prepare is None else self.provider.prepare(self.case, found)

    def leaves(self, inputs: Inputs) -> list[Tensor]:
        """Inputs with gradients."""
        return [inputs[name] for name in self.operation.leaves if name in inputs]

    def gradients(self, outputs: Outputs, number: int) -> list[Tensor]:
        """Random gradients of the outputs; the same numbers whatever the outputs' dtype is."""
        generator = torch.Generator(self.device).manual_seed(1000 + number)
        return [
            torch.randn(output.shape, generator=generator, device=self.device)
            .to(self.case.dtype)
            .to(output.dtype)
            for output in outputs
        ]

    def arm(self, mode: Mode) -> Arm:
        """How to prepare a call in a mode; after `prepare`, within `active`."""

        def forward(number: int) -> Any:  # noqa: ANN401
            inputs = self.sets[number % len(self.sets)]
            return lambda: self.run(inputs)

        def backward(number: int) -> Any:  # noqa: ANN401
            number %= len(self.sets)
            inputs, upstream = self.sets[number], self.upstream[number]
            outputs = self.run(inputs)
            return lambda: torch.autograd.grad(outputs, self.leaves(inputs), upstream)

        def both(number: int) -> Any:  # noqa: ANN401
            number %= len(self.sets)
            inputs, upstream = self.sets[number], self.upstream[number]
            return lambda: torch.autograd.grad(self.run(inputs), self.leaves(inputs), upstream)

        return {"forward": forward, "backward": backward, "both": both}[mode]

    def errors(self) -> dict[str, float]:
        """Relative root mean square error of every output and gradient; infinite where not finite.

        Raises:
            AssertionError: random outputs do not follow their law.
        """
        with self.active():
            inputs = self.inputs(0)
            # What the first call wrote is NaN when the second call gets the same memory.
            for stale in self.run(inputs):
                stale.detach().fill_(math.nan)
            outputs = self.run(inputs)
            upstream = self.gradients(outputs, 0)
            found = [output.detach() for output in outputs]
            names = [f"output {place}" for place in range(len(outputs))]
            if self.differentiable:
                leaves = self.leaves(inputs)
                found += torch.autograd.grad(outputs, leaves, upstream)
                names += [f"gradient of {n}" for n in self.operation.leaves if n in inputs]
            outputs = tuple(output.detach() for output in outputs)
            exact = self.truth(outputs, upstream)
            law = self.operation.law
            if law is not None and not self.provider.ours:
                reason = law(self.case, self.plain(inputs), outputs)
                if reason is not None:
                    raise AssertionError(reason)
        return {
            name: relative_error(one, true)
            for name, one, true in zip(names, found, exact, strict=True)
        }

    def truth(self, outputs: Outputs, upstream: list[Tensor]) -> list[Tensor]:
        """Outputs and gradients in float64."""
        inputs = self.operation.inputs(self.case, self.device, 0)
        if not self.provider.same and self.provider.prepare is not None:
            inputs = self.provider.prepare(self.case, inputs)
        exact = self.plain(inputs)
        exact = {
            name: value.double().requires_grad_(
                self.differentiable and name in self.operation.leaves
            )
            if isinstance(value, Tensor) and value.is_floating_point()
            else value
            for name, value in exact.items()
        }
        expected = self.operation.reference(self.case, exact, outputs, self.provider.ours)
        if not self.differentiable:
            return list(expected)
        grads = torch.autograd.grad(
            expected, self.leaves(exact), [gradient.double() for gradient in upstream]
        )
        return [one.detach() for one in expected] + list(grads)

    @staticmethod
    def plain(inputs: Inputs) -> Inputs:
        """The same without a record of gradients."""
        return {
            name: value.detach() if isinstance(value, Tensor) else value
            for name, value in inputs.items()
        }

    def tolerated(self) -> float:
        """The largest relative error that is still right."""
        return TOLERANCE[self.case.dtype]

    def saved(self) -> tuple[int, int] | None:
        """Tensors and bytes kept for backward beyond inputs and outputs; None without gradients."""
        if not self.differentiable:
            return None
        kept: dict[int, int] = {}

        def pack(value: Tensor) -> Tensor:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with self.active():
            inputs = self.inputs(0)
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
                outputs = self.run(inputs)
            known = [*inputs.values(), *outputs]
            for value in known:
                if isinstance(value, Tensor):
                    kept.pop(value.untyped_storage().data_ptr(), None)
        return len(kept), sum(kept.values())

    def peak(self, mode: Mode) -> int:
        """Bytes allocated at the worst moment of a call beyond its inputs, on a CUDA device; as `arm`."""
        call = self.arm(mode)(0)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = call()
        torch.cuda.synchronize()
        del result
        return torch.cuda.max_memory_allocated() - before


def relative_error(found: Tensor, true: Tensor) -> float:
    """||found - true|| / ||true||, infinite where `found` is not finite or of another shape."""
    if found.shape != true.shape or not bool(torch.isfinite(found).all()):
        return math.inf
    scale = float(true.double().norm())
    return float((found.double() - true.double()).norm()) / (scale or 1.0)
