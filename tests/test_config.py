import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqvae.config import Experiment, Preset, preset, read_config, write_config
from seqvae.config_json import from_json, to_json
from seqvae.errors import UserError


def values_of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    """Any value of a field's type: the strategies follow the dataclasses by themselves."""
    if isinstance(kind, types.UnionType) or get_origin(kind) is typing.Union:
        return st.one_of([values_of(member) for member in get_args(kind)])
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        fields = {name: values_of(hint) for name, hint in hints.items()}

        def build(**chosen: Any) -> Any:  # noqa: ANN401
            try:
                return kind(**chosen)
            except UserError:
                return kind()

        return st.builds(build, **fields)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.tuples(*map(values_of, get_args(kind)))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False),
        str: st.text(),
        type(None): st.none(),
    }
    return plain[kind]


@given(values_of(Experiment))
def test_every_experiment_survives_json(experiment: Experiment) -> None:
    assert from_json(Experiment, json.loads(json.dumps(to_json(experiment)))) == experiment


@given(name=st.sampled_from(get_args(Preset)), rate=st.floats(0.1, 100.0))
def test_presets_survive_a_file(
    name: Preset, rate: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("config") / "config.json"
    write_config(path, preset(name, rate), labels=["a"])
    experiment, facts = read_config(path)
    assert experiment == preset(name, rate)
    assert facts == {"format": 1, "labels": ["a"]}


def paths(document: Any, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:  # noqa: ANN401
    if not isinstance(document, dict):
        return [here]
    return [here, *(p for key, value in document.items() for p in paths(value, (*here, key)))]


EVERYWHERE = paths(to_json(preset()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=200)
@given(where=st.sampled_from(EVERYWHERE), value=JSON)
def test_a_tampered_config_is_read_or_refused_in_words(where: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
    document: Any = {"": to_json(preset())}
    inner = document
    for key in ("", *where)[:-1]:
        inner = inner[key]
    inner[("", *where)[-1]] = value
    try:
        assert isinstance(from_json(Experiment, document[""]), Experiment)
    except UserError as error:
        assert str(error).startswith("config")


def test_the_message_names_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_config(path, preset())
    document = json.loads(path.read_text(encoding="utf-8"))
    document["experiment"]["model"]["decoder"]["heads"] = "many"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json\.model\.decoder\.heads: expected int"):
        read_config(path)
    document["experiment"]["model"]["decoder"] = {"type": "Mamba"}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match="'Mamba' is not one of Transformer, Gru"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "run format"),
        ("3", "run format"),
        ('{"format": 2}', "run format 2, this seqvae reads 1"),
        ('{"format": 1}', "expected a Experiment, got None"),
        ('{"format": 1, "experiment": 5}', "expected a Experiment"),
    ],
)
def test_a_damaged_file(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        read_config(path)


def test_binary_is_damaged_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="damaged"):
        read_config(tmp_path / "config.json")
