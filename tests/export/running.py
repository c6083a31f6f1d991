"""A torch module as an ONNX Runtime function of tensors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from seqvae.export.onnx_export import export_module

OPSETS = (18, 20, 21, 23)


class Graph:
    """What a module became.

    Attributes:
        nodes: how many nodes of each kind there are.
        outputs: names of the results.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        dynamic: Mapping[str, Mapping[int, str]],
        opset: int = 20,
    ) -> None:
        model = export_module(module, inputs, outputs, dynamic, opset=opset)
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
        self.nodes = Counter(node.op_type for node in model.graph.node)
        self.outputs = list(outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, **inputs: Tensor) -> tuple[Tensor, ...]:
        """The results for inputs by name."""
        feeds = {name: value.numpy() for name, value in inputs.items()}
        return tuple(map(torch.from_numpy, self.session.run(self.outputs, feeds)))
