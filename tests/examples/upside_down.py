"""A bundle of speech whose second voice turns sound upside down: plain ONNX, so that it runs everywhere."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

RATE = 16_000
VOICES = ["anna", "ben"]


def write_bundle(folder: Path) -> Path:
    """As much of a bundle as an app reads: `seqvae.json` and `model.onnx`."""
    value, node = helper.make_tensor_value_info, helper.make_node
    inputs = [
        value("audio", TensorProto.FLOAT, ["B", "N"]),
        value("speaker", TensorProto.INT64, ["speaker_rows", 1]),
        value("noise_scale", TensorProto.FLOAT, ["noise_rows", 1]),
    ]
    constants = [
        numpy_helper.from_array(np.array([[0]]), "speaker"),
        numpy_helper.from_array(np.zeros((1, 1), np.float32), "noise_scale"),
        numpy_helper.from_array(np.array([[1.0], [-1.0]], np.float32), "signs"),
    ]
    nodes = [
        node("GatherND", ["signs", "speaker"], ["sign"]),
        node("Add", ["sign", "noise_scale"], ["factor"]),
        node("Mul", ["audio", "factor"], ["converted"]),
    ]
    outputs = [value("converted", TensorProto.FLOAT, ["B", "N"])]
    graph = helper.make_graph(nodes, "upside_down", inputs, outputs, initializer=constants)
    place = folder / "cpu-fp32" / "model.onnx"
    place.parent.mkdir(parents=True)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), place
    )
    facts = {
        "labels": VOICES,
        "default_variant": "cpu-fp32",
        "speech": {"mel": {"sample_rate": RATE}},
    }
    (folder / "seqvae.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
