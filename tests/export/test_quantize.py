"""Smaller precisions: close to float32, a fraction of its size, the same alone and in a batch."""

from typing import get_args

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from seqvae.errors import UserError
from seqvae.export.half import halve
from seqvae.export.products import Array
from seqvae.export.quantize import LEVELS, Recipe, levels_of, quantize_int8
from tests.export.toy_graphs import VOCABULARY, relative, run, tied

IDS = np.arange(VOCABULARY)[:, None]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def constants(model: onnx.ModelProto) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


RECIPES: tuple[Recipe, ...] = get_args(Recipe)


def test_rows_are_small_and_close() -> None:
    model = tied()
    made = quantize_int8(model, VOCABULARY, "rows")
    onnx.checker.check_model(made)
    (wanted,), (found,) = run(model, {"ids": IDS}), run(made, {"ids": IDS})
    assert relative(found, wanted) < 0.05  # five products in a row, no residuals
    assert operators(made).count("MatMulInteger") == 4  # the smallest matrix stays
    stored = constants(made)
    # The tied matrix is there once, and the table of positions is no token embedding.
    assert stored["table_int8"].dtype == np.int8 and "table" not in stored
    assert stored["positions"].dtype == np.float32
    assert operators(made).count("Gather") == 3
    weights = ("square", "up", "down", "table")
    assert sum(stored[f"{name}_int8"].nbytes for name in weights) * 4 == sum(
        constants(model)[name].nbytes for name in weights
    )
    assert {entry.domain for entry in made.opset_import} == {""}


def test_mixed_keeps_the_embedding_in_float16() -> None:
    model = tied()
    made = quantize_int8(model, VOCABULARY, "mixed")
    onnx.checker.check_model(made)
    (wanted,), (found,) = run(model, {"ids": IDS}), run(made, {"ids": IDS})
    (rows,) = run(quantize_int8(model, VOCABULARY, "rows"), {"ids": IDS})
    assert relative(found, wanted) < relative(rows, wanted)
    assert operators(made).count("MatMulInteger") == 3
    stored = constants(made)
    assert stored["table_half"].dtype == np.float16 and not {"table", "table_int8"} & stored.keys()


def test_stored_multiplies_in_float32() -> None:
    model = tied()
    made = quantize_int8(model, VOCABULARY, "stored")
    onnx.checker.check_model(made)
    (wanted,), (found,) = run(model, {"ids": IDS}), run(made, {"ids": IDS})
    (mixed,) = run(quantize_int8(model, VOCABULARY, "mixed"), {"ids": IDS})
    assert relative(found, wanted) < relative(mixed, wanted)
    assert "MatMulInteger" not in operators(made)
    stored = constants(made)
    assert stored["table_int8"].dtype == np.int8 and "table" not in stored
    assert np.abs(stored["table_int8"]).max() > LEVELS


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_row_alone_is_the_row_of_a_batch(recipe: Recipe) -> None:
    made = quantize_int8(tied(), VOCABULARY, recipe)
    (batch,) = run(made, {"ids": IDS})
    for row in (0, 7, 89):
        (alone,) = run(made, {"ids": IDS[row : row + 1]})
        # What float32 multiplies may round differently by the number of rows.
        assert np.allclose(alone[0], batch[row], rtol=0, atol=0 if recipe == "rows" else 1e-5)


def test_borders_keep_their_names_types_and_defaults() -> None:
    model = tied()
    for made in (*(quantize_int8(model, VOCABULARY, r) for r in RECIPES), halve(model, VOCABULARY)):
        assert made.graph.input == model.graph.input
        assert made.graph.output == model.graph.output
        (default,) = run(made, {"ids": IDS[:2]})
        (chosen,) = run(made, {"ids": IDS[:2], "place": np.array([3])})
        assert not np.array_equal(default, chosen)  # an input with a default is still an input


def test_the_original_is_not_changed() -> None:
    model = tied()
    before = model.SerializeToString()
    quantize_int8(model, VOCABULARY)
    halve(model, VOCABULARY)
    assert model.SerializeToString() == before


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert (
        quantize_int8(tied(), VOCABULARY).SerializeToString()
        == quantize_int8(tied(), VOCABULARY).SerializeToString()
    )


def test_levels_are_the_nearest_and_never_overflow_16_bits() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_t(3, (50, 200)).astype(np.float32)
    weight[3] = 0.0
    levels, scale = levels_of(weight)
    assert levels.dtype == np.int8 and np.abs(levels).max() <= LEVELS
    assert 2 * LEVELS * 255 < 1 << 15
    error = np.square(levels * scale[:, None] - weight).sum()
    peak = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-9) / LEVELS
    plain = np.square(np.round(weight / peak) * peak - weight).sum()
    assert error < plain
    assert not levels[3].any()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e-3, 1e3])
def test_activations_of_any_size(scale: float, recipe: Recipe) -> None:
    model = tied()
    for tensor in model.graph.initializer:
        if tensor.name == "bias":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(128, np.float32), "bias"))
        if tensor.name in ("table", "positions"):
            values = numpy_helper.to_array(tensor) * np.float32(scale)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    (wanted,), (found,) = (
        run(model, {"ids": IDS}),
        run(quantize_int8(model, VOCABULARY, recipe), {"ids": IDS}),
    )
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - wanted) <= 0.05 * np.linalg.norm(wanted)


def test_half_is_half_the_size_and_closer() -> None:
    model = tied()
    made = halve(model, VOCABULARY)
    onnx.checker.check_model(made)
    (wanted,), (found,) = run(model, {"ids": IDS}), run(made, {"ids": IDS})
    assert relative(found, wanted) < 1e-3
    assert found.dtype == np.float32
    stored = constants(made)
    assert stored["table_half"].dtype == np.float16 and "table" not in stored
    (alone,) = run(made, {"ids": IDS[4:5]})
    assert relative(alone[0], found[4]) < 1e-3


def test_a_weight_beyond_float16_is_named() -> None:
    model = tied()
    for tensor in model.graph.initializer:
        if tensor.name == "up":
            values = numpy_helper.to_array(tensor) * np.float32(1e7)
            tensor.CopyFrom(numpy_helper.from_array(values, "up"))
    with pytest.raises(UserError, match="weight up has values beyond 65504"):
        halve(model, VOCABULARY)
