"""The loops that write: one for rows whose tokens are chosen one after another, one for rows with a beam.

A row's options decide what is chosen for it, never those of its company. A loop for which there is no
row makes no round. It is not within an If: ONNX Runtime prepares weights for its processor only in
bodies that lie directly in the graph, and without that a step takes up to twice as long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqvae.data.text import BOS, EOS, PAD
from seqvae.export.stitch import Scope, State, following
from seqvae.tasks.sampling import COLDEST

if TYPE_CHECKING:
    import onnx

_INT32, _INT64, _BOOL = 6, 7, 9  # ONNX's numbers of element types


class Pieces(NamedTuple):
    """What the loops are made of.

    Attributes:
        start: part of that name.
        step: part of that name.
        choices: see `seqvae.export.whole_choices`.
        beam_size: hypotheses of a row with a beam.
    """

    start: "onnx.ModelProto"
    step: "onnx.ModelProto"
    choices: "Mapping[str, onnx.ModelProto]"
    beam_size: int


@dataclass(frozen=True)
class Rows:
    """Rows to be written.

    Attributes:
        count: their number B, int64 [1].
        z: float32 [B, D]; "" for a language model.
        options: each [B, 1], by name; `max_length` is within the model's limit.
    """

    count: str
    z: str
    options: State


class Texts(NamedTuple):
    """What was written: ids int64 [B, T], log_prob float32 [B, 1], complete bool [B, 1]."""

    ids: str
    log_prob: str
    complete: str


def write(scope: Scope, pieces: Pieces, rows: Rows) -> Texts:
    """Write every row by the loop that it asks for."""
    beam = scope.add("Reshape", rows.options["beam"], _shape(scope, -1))
    searched = _indices(scope, beam)
    chosen = _indices(scope, scope.add("Not", beam))
    first = one_by_one(scope, pieces, _taken(scope, rows, chosen))
    second = by_beam(scope, pieces, _taken(scope, rows, searched))
    return _merge(scope, rows, (chosen, first), (searched, second))


def _taken(scope: Scope, rows: Rows, which: str) -> Rows:
    """The rows at the places `which` [n]; there may be none."""

    def take(value: str) -> str:
        return value and scope.add("Gather", value, which, axis=0)

    options = {name: take(value) for name, value in rows.options.items()}
    return Rows(scope.add("Shape", which), take(rows.z), options)


def one_by_one(scope: Scope, pieces: Pieces, rows: Rows) -> Texts:
    """Greedy and sampled tokens."""
    options, column = rows.options, scope.add("Concat", rows.count, _shape(scope, 1), axis=0)
    limit = _greatest(scope, options["max_length"])
    choose = _chooser(scope, pieces, options, limit)
    made = scope.inline(pieces.start, _start_inputs(rows), "start")
    state = _caches(made) | {
        "token": _filled(scope, column, BOS, np.int64),
        "log_prob": _filled(scope, column, 0, np.float32),
        "going": _filled(scope, column, True, np.bool_),
    }

    def body(inner: Scope, position: str, now: State) -> tuple[str, State, list[str]]:
        found = inner.inline(pieces.step, {**made, **now, "position": position}, "step")
        token, change = choose(inner, found["logits"], position)
        pad, still = inner.constant(PAD, np.int64), inner.constant(0, np.float32)
        token = inner.add("Where", now["going"], token, pad)
        change = inner.add("Where", now["going"], change, still)
        written = inner.add("Add", position, inner.constant(1, np.int64))
        # Of the ids up to EOS only those of padding and of EOS itself are ever written.
        more = inner.add("Greater", token, inner.constant(EOS, np.int64))
        going = inner.add("And", more, inner.add("Less", written, options["max_length"]))
        after = {
            "token": token,
            "going": going,
            "log_prob": inner.add("Add", now["log_prob"], change),
        }
        return _any(inner, going), following(found) | after, [token]

    last, (tokens,) = scope.loop(limit, scope.constant(True), state, body)
    # Where no round was made, the runtime knows none of the sizes.
    rounds = scope.add("Shape", tokens, start=0, end=1)
    flat = scope.add("Concat", rounds, rows.count, axis=0)
    ids = scope.add("Transpose", scope.add("Reshape", tokens, flat, allowzero=1), perm=[1, 0])
    return Texts(ids, last["log_prob"], _ended(scope, ids))


def by_beam(scope: Scope, pieces: Pieces, rows: Rows) -> Texts:
    """The best of several sequences kept side by side; see `seqvae.export.beam`."""
    size, options = pieces.beam_size, rows.options
    limit = _greatest(scope, options["max_length"])
    all_hypotheses = scope.add("Mul", rows.count, _shape(scope, size))
    hypotheses = Rows(
        all_hypotheses,
        rows.z and _repeat(scope, rows.z, size),
        {"seed": _repeat(scope, options["seed"], size)},
    )
    made = scope.inline(pieces.start, _start_inputs(hypotheses), "beam_start")
    column = scope.add("Concat", rows.count, _shape(scope, 1), axis=0)
    block = scope.add("Concat", rows.count, _shape(scope, size), axis=0)
    none = scope.add("Concat", rows.count, _shape(scope, 0), axis=0)
    blank = scope.add("Concat", block, _shape(scope, 0), axis=0)
    tokens = scope.add("Concat", all_hypotheses, _shape(scope, 1), axis=0)
    worst = float("-inf")
    first_only = np.full((1, size), worst, np.float32)
    first_only[:, 0] = 0
    searching = {
        "log_prob": scope.add("Expand", scope.constant(first_only), block),
        "penalty": _filled(scope, block, 1, np.float32),
        "finished": _filled(scope, block, False, np.bool_),
        "history": _filled(scope, blank, PAD, np.int64),
        "best_score": _filled(scope, column, worst, np.float32),
        "best_log_prob": _filled(scope, column, worst, np.float32),
        "best_ids": _filled(scope, none, PAD, np.int64),
        "done": _filled(scope, column, False, np.bool_),
    }
    caches = _caches(made)
    state = caches | searching | {"token": _filled(scope, tokens, BOS, np.int64)}

    def body(inner: Scope, position: str, now: State) -> tuple[str, State, list[str]]:
        found = inner.inline(pieces.step, {**made, **now, "position": position}, "beam_step")
        known = {**options, **now, "logits": found["logits"], "position": position}
        chosen = inner.inline(pieces.choices["beam"], known, "beam")
        kept = {
            name: inner.add("Gather", value, chosen["parent"], axis=0)
            for name, value in following(found).items()
        }
        after = kept | following(chosen) | {"token": chosen["token"]}
        return _any(inner, inner.add("Not", after["done"])), after, []

    last, _ = scope.loop(limit, scope.constant(True), state, body)
    complete = scope.add("Greater", last["best_score"], scope.constant(worst, np.float32))
    # The search may go on after the best text has ended.
    real = scope.add("Cast", scope.add("Greater", last["best_ids"], scope.constant(PAD)), to=_INT64)
    lengths = scope.add("ReduceSum", real, _shape(scope, 1), keepdims=0)
    width = scope.add("Reshape", _greatest(scope, lengths), _shape(scope, 1))
    ids = scope.add("Slice", last["best_ids"], _shape(scope, 0), width, _shape(scope, 1))
    return Texts(ids, last["best_log_prob"], complete)


Chooser = Callable[[Scope, str, str], list[str]]


def _chooser(scope: Scope, pieces: Pieces, options: State, limit: str) -> Chooser:
    """How a body makes a token and its log-probability of logits; draws, and filters, where any row does."""
    choices = pieces.choices
    coldest = scope.constant(COLDEST, np.float32)
    sampled = scope.add("Not", scope.add("Less", options["temperature"], coldest))
    some_k = scope.add("Greater", options["top_k"], scope.constant(0, np.int64))
    some_p = scope.add("Less", options["top_p"], scope.constant(1, np.float32))
    filtered = scope.add("And", sampled, scope.add("Or", some_k, some_p))
    any_sampled, any_filtered = _any(scope, sampled), _any(scope, filtered)
    # All uniform numbers before the loop: GPUs have no kernels for the integers they are made of.
    (uniforms,) = scope.when(
        any_sampled,
        lambda inner: [inner.inline(choices["uniforms"], options | {"steps": limit}, "noise")["u"]],
        lambda inner: [inner.constant(np.zeros((1, 0), np.float32))],
    )

    def choose(inner: Scope, logits: str, position: str) -> list[str]:
        def by(name: str, more: State) -> Callable[[Scope], list[str]]:
            def branch(innermost: Scope) -> list[str]:
                found = innermost.inline(choices[name], {"logits": logits, **more}, name)
                return [found["token"], found["log_prob"]]

            return branch

        def draw(drawing: Scope) -> list[str]:
            place = drawing.add("Reshape", position, _shape(drawing, 1))
            u = drawing.add("Gather", uniforms, place, axis=1)
            wanted = {**options, "u": u}
            return drawing.when(any_filtered, by("sampled", wanted), by("sampled_all", wanted))

        return inner.when(any_sampled, draw, by("greedy", {}))

    return choose


def _merge(scope: Scope, rows: Rows, first: tuple[str, Texts], second: tuple[str, Texts]) -> Texts:
    """The rows of both loops in the order in which they were asked for."""
    # Row i is at this place among those of the first loop, followed by those of the second.
    order = scope.add("Concat", first[0], second[0], axis=0)
    zero, one = scope.constant(0, np.int64), scope.constant(1, np.int64)
    ordinal = scope.add("Range", zero, _scalar(scope, rows.count), one)
    place = scope.add("ScatterElements", order, order, ordinal, axis=0)

    def join(one: str, two: str) -> str:
        return scope.add("Gather", scope.add("Concat", one, two, axis=0), place, axis=0)

    texts = (first[1], second[1])
    widths = [scope.add("Shape", text.ids, start=1, end=2) for text in texts]
    widest = scope.add("Max", *widths)
    ids = []
    for text, width in zip(texts, widths, strict=True):
        missing = scope.add("Sub", widest, width)
        pads = scope.add("Concat", scope.constant([0, 0, 0]), missing, axis=0)
        ids.append(scope.add("Pad", text.ids, pads, scope.constant(PAD, np.int64)))
    return Texts(
        join(*ids),
        join(texts[0].log_prob, texts[1].log_prob),
        join(texts[0].complete, texts[1].complete),
    )


def _start_inputs(rows: Rows) -> State:
    """What `start` takes: z, or of a language model anything with as many rows."""
    return {"z": rows.z} if rows.z else {"rows": rows.options["seed"]}


def _caches(made: State) -> State:
    return {name: value for name, value in made.items() if not name.startswith("cond_")}


def _indices(scope: Scope, mask: str) -> str:
    """Places of the true elements of a mask [B], int64 [n]."""
    return scope.add("Squeeze", scope.add("NonZero", mask), scope.constant([0]))


def _any(scope: Scope, mask: str) -> str:
    """Whether any element is true, bool []; of none it is false."""
    some = scope.add("ReduceSum", scope.add("Cast", mask, to=_INT32), keepdims=0)
    return scope.add("Cast", some, to=_BOOL)


def _greatest(scope: Scope, values: str) -> str:
    """The greatest of numbers above 0, int64 []; of none it is 0."""
    flat = scope.add("Reshape", values, _shape(scope, -1))
    one_more = scope.add("Concat", flat, _shape(scope, 0), axis=0)
    return scope.add("ReduceMax", one_more, keepdims=0)


def _ended(scope: Scope, ids: str) -> str:
    """Whether a row [B, T] holds the end token, bool [B, 1]."""
    ends = scope.add("Equal", ids, scope.constant(EOS, np.int64))
    count = scope.add("ReduceSum", scope.add("Cast", ends, to=_INT32), _shape(scope, 1), keepdims=1)
    return scope.add("Cast", count, to=_BOOL)


def _repeat(scope: Scope, value: str, times: int) -> str:
    """Each row [B, N] `times` times, one beside the other."""
    apart = scope.add("Unsqueeze", value, scope.constant([1]))
    wide = scope.add("Expand", apart, _shape(scope, 1, times, 1))
    last = scope.add("Shape", value, start=1, end=2)
    return scope.add("Reshape", wide, scope.add("Concat", _shape(scope, -1), last, axis=0))


def _filled(scope: Scope, shape: str, value: float, dtype: type[np.generic]) -> str:
    from onnx import numpy_helper

    tensor = numpy_helper.from_array(np.array([value], dtype))
    return scope.add("ConstantOfShape", shape, value=tensor)


def _scalar(scope: Scope, value: str) -> str:
    """[1] as []."""
    return scope.add("Squeeze", value, scope.constant([0]))


def _shape(scope: Scope, *sizes: int) -> str:
    return scope.constant(sizes, np.int64)
