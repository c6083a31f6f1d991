"""One torch module to one ONNX graph, by torch's exporter, quiet and repeatable."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqvae.errors import UserError

if TYPE_CHECKING:
    import onnx

OPSETS = range(18, 26)
"""Asked for 26, torch 2.13 writes a graph that says 18 and does not load."""


class _Flat(nn.Module):
    """A module with all its arguments in one tuple, which may have any length."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        found: Tensor | tuple[Tensor, ...] = self.module(*tensors)
        return found


def check_opset(opset: int) -> None:
    """Refuse versions that torch's exporter does not write.

    Raises:
        UserError: names those that it does.
    """
    if opset not in OPSETS:
        raise UserError(f"opset is {opset}; it must be {OPSETS[0]} to {OPSETS[-1]}")


def export_module(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    *,
    opset: int = 20,
) -> "onnx.ModelProto":
    """Export a module; the graph computes what the module computes in evaluation mode.

    Args:
        module: takes the inputs by position and returns one tensor or a tuple.
        inputs: an example of each by name; a dynamic axis must have 2 elements or more, or torch would take its size for
            a constant.
        outputs: names of what is returned.
        dynamic: names of an input's axes that may have any size (0 and 1 too); a name is one size wherever it stands.
        opset: version of ONNX's operators.

    Raises:
        UserError: the opset is not known, or torch cannot export the module.
    """
    import onnx

    check_opset(opset)
    # The same tensor given twice would be traced as one.
    examples = tuple(example.clone() for example in inputs.values())
    axes = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis in dynamic.get(name, {})} or None
        for name in inputs
    )
    try:
        with _quiet():
            program = torch.onnx.export(
                _Flat(module.eval()),
                examples,
                dynamo=True,
                opset_version=opset,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=(axes,),
                verbose=False,
            )
        assert program is not None
        model: onnx.ModelProto = program.model_proto
    except Exception as error:  # torch's exporter raises many kinds, with its own report inside
        raise UserError(
            f"torch {torch.__version__} cannot export {type(module).__name__} at opset {opset}: "
            f"{_reason(error)}"
        ) from error
    _clean(model)
    _name_axes(model, dynamic)
    onnx.checker.check_model(model)
    return model


def _reason(error: BaseException) -> str:
    """What went wrong first, without the exporter's advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:500]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself: its progress, and packages it looked for."""
    logger, trace = logging.getLogger("torch.onnx"), logging.getLogger("torch.__trace")
    level, handlers = logger.level, trace.handlers
    logger.setLevel(logging.ERROR)
    # With a handler, pytest's for one, torch describes every tensor to it: ten times the time.
    trace.handlers = []
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            # It prints whole graphs of attempts that failed before one that did not.
            contextlib.redirect_stderr(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        trace.handlers = handlers


def _clean(model: "onnx.ModelProto") -> None:
    """Drop what describes this machine: stack traces and paths of sources."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]


def _name_axes(model: "onnx.ModelProto", dynamic: Mapping[str, Mapping[int, str]]) -> None:
    """Give the axes the caller's names instead of the exporter's symbols."""
    names: dict[str, str] = {}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for axis, name in dynamic.get(value.name, {}).items():
            names.setdefault(dims[axis].dim_param, name)
            dims[axis].dim_param = name
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
            elif dim.dim_param and not dim.dim_param.isidentifier():
                dim.ClearField("dim_param")  # an expression such as "s1 + 1"
