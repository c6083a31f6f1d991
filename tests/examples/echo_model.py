"""A model.onnx with the inputs of a real one that writes down what it was asked for.

Operators of plain ONNX only, so that it runs wherever onnxruntime does.
"""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPTIONS: dict[str, np.ndarray[Any, np.dtype[Any]]] = {
    "seed": np.array([[0]], np.int64),
    "sample": np.array([[0]], np.int64),
    "noise_scale": np.array([[1]], np.float32),
    "temperature": np.array([[0]], np.float32),
    "beam": np.array([[False]]),
    "max_length": np.array([[256]], np.int64),
}


def echo_model(opset: int = 20) -> ModelProto:
    """`written` = the text and each option in turn, as `text|seed=7|...`.

    Args:
        opset: of ONNX; strings are joined from 20 on.
    """
    value, node = helper.make_tensor_value_info, helper.make_node
    inputs = [value("text", TensorProto.STRING, ["B"])]
    defaults = []
    nodes = [node("Identity", ["text"], ["said0"]), node("Shape", ["text"], ["rows"])]
    constants = [numpy_helper.from_array(np.array([-1]), "flat")]
    for index, (name, default) in enumerate(OPTIONS.items()):
        tensor = numpy_helper.from_array(default, name)
        defaults.append(tensor)
        inputs.append(value(name, tensor.data_type, [f"{name}_rows", 1]))
        label = np.array([f"|{name}="], dtype=object)
        constants.append(numpy_helper.from_array(label, f"{name}_label"))
        # A bool has no string: as an integer it has. Halves are integers too, so that every
        # runtime prints the same digits.
        nodes += [
            node("Reshape", [name, "flat"], [f"{name}_flat"]),
            node("Cast", [f"{name}_flat"], [f"{name}_real"], to=TensorProto.FLOAT),
            node("Add", [f"{name}_real", f"{name}_real"], [f"{name}_double"]),
            node("Cast", [f"{name}_double"], [f"{name}_whole"], to=TensorProto.INT64),
            node("Cast", [f"{name}_whole"], [f"{name}_digits"], to=TensorProto.STRING),
            node("Expand", [f"{name}_digits", "rows"], [f"{name}_all"]),
            node("StringConcat", [f"said{index}", f"{name}_label"], [f"{name}_open"]),
            node("StringConcat", [f"{name}_open", f"{name}_all"], [f"said{index + 1}"]),
        ]
    # The default of `noise` has no element.
    noise = numpy_helper.from_array(np.zeros((0, 4), np.float32), "noise")
    defaults.append(noise)
    inputs.append(value("noise", TensorProto.FLOAT, ["noise_rows", 4]))
    nodes += [
        node("Size", ["noise"], ["noise_size"]),
        node("Cast", ["noise_size"], ["noise_digits"], to=TensorProto.STRING),
        node("StringConcat", [f"said{len(OPTIONS)}", "noise_digits"], ["written"]),
    ]
    graph = helper.make_graph(
        nodes,
        "echo",
        inputs,
        [value("written", TensorProto.STRING, ["B"])],
        initializer=[*defaults, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return model


def echo(text: str, **options: float) -> str:
    """What the model writes for a row.

    Args:
        text: of the row.
        **options: that differ from the defaults.
    """
    values = {name: options.get(name, float(value.item())) for name, value in OPTIONS.items()}
    return text + "".join(f"|{name}={int(2 * value)}" for name, value in values.items()) + "0"
