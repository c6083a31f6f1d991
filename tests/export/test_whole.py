"""The graphs that are called once write what PyTorch writes."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from seqvae.data.text import EOS
from seqvae.export.bundle_manifest import OPTIONS
from seqvae.export.tokenizer import Tier, export_tokenizer
from seqvae.export.whole import build_generate, build_model, require_inputs
from seqvae.ops import normal
from seqvae.tasks.decode import Decoding, generate
from tests.export.exported import (
    BEAM_SIZE,
    LINES,
    Array,
    Kind,
    Session,
    ingredients,
    lively,
    text_model,
)
from tests.export.test_stitch import every_graph
from tests.tiny import LATENT, MAX_LENGTH

Options = dict[str, Any]
STYLES: tuple[Options, ...] = (
    {},
    {"temperature": 1.0, "seed": 5},
    {"temperature": 0.7, "top_k": 8, "seed": -(2**63), "sample": 3},
    {"temperature": 1.5, "top_p": 0.8, "seed": 2**63 - 1, "sample": 2**31 - 2},
    {"temperature": 1.0, "top_k": 4, "top_p": 0.5, "sample": 1},
    {"beam": True},
    {"beam": True, "length_penalty": 2.0, "max_length": 9},
    {"max_length": 5},
    {"max_length": 1, "temperature": 1.0},
    {"temperature": 1e-7, "seed": 3},  # too cold to draw
)
TEXTS = ("", "the lazy dog", "日本", "hello 😀 world !", "so on " * 50, *LINES)


class Answers:
    """What was written for each row."""

    def __init__(self, ids: list[list[int]], log_prob: list[float], complete: list[bool]) -> None:
        self.ids, self.log_prob, self.complete = ids, log_prob, complete

    def same(self, other: "Answers") -> None:
        assert self.ids == other.ids
        assert self.complete == other.complete
        assert self.log_prob == pytest.approx(other.log_prob, rel=1e-6, abs=1e-4)

    def lengths(self) -> set[int]:
        return {len(row) for row in self.ids}


def answers(found: Mapping[str, Array], name: str = "ids") -> Answers:
    """Of a graph; checks that there is nothing but zeros behind an end, and no column too many."""
    ids = found[name]
    assert ids.dtype == np.int64
    rows = [row[: int((row != 0).sum())].tolist() for row in ids]
    assert all(0 not in row and EOS not in row[:-1] for row in rows)
    assert ids.shape[1] == max(map(len, rows), default=0)
    for one in ("log_prob", "complete"):
        assert found[one].shape == (len(ids), 1)
    complete = found["complete"][:, 0].tolist()
    assert complete == [row[-1:] == [EOS] for row in rows]
    return Answers(rows, found["log_prob"][:, 0].tolist(), complete)


def by_torch(kind: Kind, z: torch.Tensor | None, options: Sequence[Options]) -> Answers:
    """Every row alone."""
    found = Answers([], [], [])
    for number, row in enumerate(options):
        known = {name: row.get(name, given.default) for name, given in OPTIONS.items()}
        drawn = known["temperature"] >= 1e-6
        decoding = Decoding(
            strategy="beam" if known["beam"] else "sample" if drawn else "greedy",
            temperature=known["temperature"],
            top_k=known["top_k"],
            top_p=known["top_p"],
            beam_size=BEAM_SIZE,
            length_penalty=known["length_penalty"],
            max_length=min(known["max_length"], MAX_LENGTH - 1),
            seed=known["seed"],
        )
        alone = None if z is None else z[number : number + 1]
        written = generate(lively(kind), alone, decoding, rows=torch.tensor([known["sample"]]))
        complete = bool(written.complete[0])
        found.ids.append(written.ids[0] + [EOS] * complete)
        found.log_prob.append(float(written.log_prob[0]))
        found.complete.append(complete)
    return found


def columns(options: Sequence[Options], *, all_of_them: bool = False) -> dict[str, Array]:
    """[B, 1] of every option that a row has."""
    return {
        name: np.array([[row.get(name, known.default)] for row in options], np.dtype(known.dtype))
        for name, known in OPTIONS.items()
        if (all_of_them and name != "noise_scale") or any(name in row for row in options)
    }


def latents(count: int) -> torch.Tensor:
    return normal(torch.tensor([11]), (count, LATENT)) * 1.5


@functools.cache
def writer(kind: Kind = "transformer", opset: int = 20) -> Session:
    return Session(build_generate(ingredients(kind, opset=opset)))


@functools.cache
def whole(tier: Tier = "char", kind: Kind = "transformer") -> Session:
    model = build_model(ingredients(kind, tier))
    return Session(model, extensions=tier == "sentencepiece")


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize("style", range(len(STYLES)))
def test_rows_of_one_style(kind: Kind, style: int) -> None:
    first = STYLES[style].get("sample", 0)
    options = [STYLES[style] | {"sample": abs(first - row)} for row in range(12)]
    if kind == "gru":  # loud and without end it is chaotic: a last bit grows to another token
        options = [{"max_length": 16} | row for row in options]
    z = latents(12)
    found = answers(writer(kind)(z=z.numpy(), **columns(options)))
    found.same(by_torch(kind, z, options))
    if "max_length" not in STYLES[style]:
        assert len(found.lengths()) > (3 if kind == "transformer" else 1)


@pytest.mark.parametrize("count", [1, 8, 33])
def test_rows_of_all_styles_together(count: int) -> None:
    options = [STYLES[(7 * row) % len(STYLES)] for row in range(count)]
    z = latents(count)
    found = answers(writer()(z=z.numpy(), **columns(options, all_of_them=True)))
    found.same(by_torch("transformer", z, options))
    assert count == 1 or len(found.lengths()) > 3
    for row in range(0, count, 3):
        feeds = columns([options[row]], all_of_them=True)
        alone = answers(writer()(z=z[row : row + 1].numpy(), **feeds))
        assert alone.ids == [found.ids[row]]
        assert alone.log_prob == pytest.approx([found.log_prob[row]], rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_opsets(opset: int) -> None:
    # Of a language model: fewer graphs to export, and all that chooses and repeats is in them.
    options = [style | {"sample": row} for row, style in enumerate([*STYLES, *STYLES])]
    found = answers(writer("language", opset)(**columns(options)))
    found.same(by_torch("language", None, options))
    assert len(found.lengths()) > 3


def test_a_language_model_writes_as_many_texts_as_its_options_have_rows() -> None:
    session = writer("language")
    options = [style | {"sample": row} for row, style in enumerate(STYLES)]
    found = answers(session(**columns(options)))
    found.same(by_torch("language", None, options))
    assert len(found.lengths()) > 3
    answers(session()).same(by_torch("language", None, [{}]))
    samples = np.arange(5)[:, None]
    drawn = answers(session(sample=samples, temperature=np.ones((1, 1), np.float32)))
    each = [{"sample": row, "temperature": 1.0} for row in range(5)]
    drawn.same(by_torch("language", None, each))
    model = whole("char", "language")
    names = {value.name for value in model.session.get_overridable_initializers()}
    assert names == OPTIONS.keys() - {"noise_scale"} and not model.session.get_inputs()
    texts = model(sample=samples, temperature=np.ones((1, 1), np.float32))
    answers(texts).same(drawn)
    assert texts["written"].tolist() == [text_model().tokenizer.decode(row) for row in drawn.ids]


def posterior_z(texts: Sequence[str], options: Sequence[Options]) -> torch.Tensor:
    """As `TextModel.paraphrase` draws z."""
    rows = []
    for text, option in zip(texts, options, strict=True):
        posterior = text_model().encode([text])
        seed, sample = torch.tensor([option.get("seed", 0)]), option.get("sample", 0)
        scale = float(option.get("noise_scale", 1.0))
        rows.append(posterior.sample(seed, sample + 1, scale)[sample])
    return torch.cat(rows)


@pytest.mark.parametrize("tier", ["sentencepiece", "char", "ids"])
def test_from_text_to_text(tier: Tier) -> None:
    styles = [style for style in STYLES if style.get("sample", 0) < 9]
    options = [styles[row % len(styles)] | {"noise_scale": row % 3 / 2} for row in range(16)]
    texts = [TEXTS[row % len(TEXTS)] for row in range(16)]
    z = posterior_z(texts, options)
    wanted = by_torch("transformer", z, options)
    feeds: dict[str, Any] = columns(options)
    if tier == "ids":
        feeds |= read(texts)
        found = whole(tier)(**feeds)
        answers(found, "written").same(wanted)
    else:
        found = whole(tier)(text=texts, **feeds)
        answers(found).same(wanted)
        decoded = [text_model().tokenizer.decode(row) for row in wanted.ids]
        assert found["written"].tolist() == decoded
    assert len(wanted.lengths()) > 3
    posterior: Any = text_model().encode(texts)
    np.testing.assert_allclose(found["mean"], posterior.mean, atol=1e-5)
    kl = posterior.kl().sum(-1, keepdim=True)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-5, atol=1e-5)


def read(texts: Sequence[str]) -> dict[str, Array]:
    made = export_tokenizer(text_model().tokenizer, "char", max_length=MAX_LENGTH)
    return dict(Session(made["tokenizer"])(text=list(texts)))


def test_defaults_alone() -> None:
    texts = list(TEXTS)
    found = whole()(text=texts)
    options: list[Options] = [{}] * len(texts)
    answers(found).same(by_torch("transformer", posterior_z(texts, options), options))


def test_noise_may_be_given() -> None:
    texts, options = list(TEXTS), [{"seed": 4, "sample": row} for row in range(len(TEXTS))]
    seeded = whole()(text=texts, **columns(options))
    noise = normal(torch.tensor([4]), (len(texts), LATENT)).numpy()
    given = whole()(text=texts, noise=noise)
    assert given["written"].tolist() == seeded["written"].tolist()
    assert len(set(given["written"].tolist())) > 3
    one = whole()(text=texts, noise=noise[:1])
    each = whole()(text=texts, noise=noise[:1].repeat(len(texts), 0))
    assert one["written"].tolist() == each["written"].tolist()


def test_no_rows() -> None:
    for tier in ("char", "sentencepiece"):
        found = whole(tier)(text=[])
        assert found["written"].shape == (0,) and found["ids"].shape == (0, 0)
        assert found["mean"].shape == (0, LATENT) and found["kl"].shape == (0, 1)
    found = writer()(z=np.zeros((0, LATENT), np.float32))
    assert answers(found).ids == []


@pytest.mark.parametrize("name", ["seed", "temperature", "noise"])
def test_a_wrong_number_of_rows_is_named(name: str) -> None:
    shape = (3, LATENT if name == "noise" else 1)
    feeds = {name: np.ones(shape, np.int64 if name == "seed" else np.float32)}
    for texts in (["one"], ["one", "two"]):
        with pytest.raises(
            Exception, match=f"{name} has 1 row or one for each text|invalid expand"
        ):
            whole()(text=texts, **feeds)


def test_limits_are_the_models() -> None:
    z = latents(24)
    options: list[Options] = [{"max_length": 1 << 16}] * 24
    found = answers(writer()(z=z.numpy(), **columns(options)))
    assert max(found.lengths()) == MAX_LENGTH - 1
    least = answers(writer()(z=z.numpy(), **columns([{"max_length": 0}] * 24)))
    assert least.lengths() == {1}


def test_the_model_can_be_asked_what_it_is() -> None:
    model = whole().session
    known = model.get_modelmeta().custom_metadata_map
    assert (known["seqvae.format"], known["seqvae.kind"]) == ("1", "text")
    assert json.loads(known["seqvae.options"])["top_p"]["default"] == 1.0
    assert [value.name for value in model.get_inputs()] == ["text"]
    given = {value.name: value.shape for value in model.get_overridable_initializers()}
    assert given == {name: [f"{name}_rows", 1] for name in OPTIONS} | {"noise": ["noise_rows", 4]}
    assert whole().outputs == ["written", "ids", "log_prob", "complete", "mean", "kl"]


def test_every_input_can_be_made_required() -> None:
    model = build_model(ingredients("transformer", "char"))
    session = Session(require_inputs(model))
    assert {value.name for value in session.session.get_inputs()} == {"text", "noise", *OPTIONS}
    assert not session.session.get_overridable_initializers()
    defaults = columns([{}], all_of_them=True) | {"noise_scale": np.ones((1, 1), np.float32)}
    noise = np.zeros((0, LATENT), np.float32)
    found = session(text=list(TEXTS), noise=noise, **defaults)
    assert found["written"].tolist() == whole()(text=list(TEXTS))["written"].tolist()


def test_weights_are_there_once() -> None:
    made = build_model(ingredients("transformer", "char"))
    onnx.checker.check_model(made)
    outer, *bodies = every_graph(made.graph)
    assert len(bodies) > 8 and not any(len(body.initializer) for body in bodies)
    contents = [t.SerializeToString() for t in outer.initializer]
    assert len(set(contents)) == len(contents)
    used = ingredients("transformer").parts
    weights = {
        tensor.raw_data: len(tensor.raw_data)
        for name in ("encoder", "start", "step")
        for tensor in used[name].graph.initializer
    }
    assert len(made.SerializeToString()) < sum(weights.values()) + 250_000
    # Nothing of the state but what a step changes: constants stay outside.
    loops = [n for graph in every_graph(made.graph) for n in graph.node if n.op_type == "Loop"]
    assert not [name for loop in loops for name in loop.input if "cond_" in name]


def test_no_weight_is_used_two_bodies_deep() -> None:
    # ONNX Runtime packs weights for its processor in the graph and in bodies of its nodes only.
    made = build_model(ingredients("transformer", "char"))
    weights = {t.name for t in made.graph.initializer if len(t.dims) == 2 and min(t.dims) > 1}
    assert weights
    directly = [a.g for n in made.graph.node for a in n.attribute if a.HasField("g")]
    used = [
        {name for node in graph.node for name in node.input}
        for body in directly
        for graph in list(every_graph(body))[1:]
    ]
    assert len(used) > 3 and not any(weights & names for names in used)
