"""The loudness of a sound, measured in the graph: `seqvae.data.speech.energy` node by node."""

import math

import numpy as np

from seqvae.data.speech.energy import DEEPEST, FLAT, MARGIN, SHARE, SILENT, TINY, EnergyMeter
from seqvae.data.speech.loudness import LOUDNESS
from seqvae.export.stitch import Array, Scope

_FLOAT, _INT64 = 1, 7  # ONNX's numbers of element types


def loudness_gain(scope: Scope, audio: str, rate: int) -> tuple[str, str]:
    """What `gain_of(energy_of(sound, rate))` says of each row.

    Args:
        scope: where the nodes go.
        audio: float32 [B, N], N 1 or more.
        rate: samples per second, Hz.

    Returns:
        The factor that gives a row the common loudness, float32 [B, 1], and whether there is anything
        to hear in it, bool [B, 1].
    """
    power, moments = _power(scope, audio, rate)
    decibels = _decibels(scope, power)
    top = _top(scope, power, moments)
    silent = scope.add("Less", top, _number(scope, SILENT))
    noise = scope.add("Max", _percentile(scope, decibels, moments), _plus(scope, top, DEEPEST))
    reach = scope.add("Sub", top, noise)
    share = scope.add("Mul", reach, _number(scope, SHARE))
    margin = scope.add("Max", share, _number(scope, MARGIN))
    louder = scope.add("Greater", decibels, scope.add("Add", noise, margin))
    flat = scope.add("Less", reach, _number(scope, FLAT))
    heard = scope.add("Not", silent)
    speech = scope.add("And", scope.add("Or", louder, flat), heard)
    weight = scope.add("Cast", speech, to=_FLOAT)
    rows = scope.constant([1])
    total = scope.add("ReduceSum", scope.add("Mul", power, weight), rows, keepdims=1)
    count = scope.add("ReduceSum", weight, rows, keepdims=1)
    mean = scope.add("Div", total, scope.add("Max", count, _number(scope, 1.0)))
    spoken = scope.add("Greater", mean, _number(scope, 0.0))
    one = _number(scope, 1.0)
    loudness = scope.add("Sqrt", scope.add("Where", spoken, mean, one))
    gain = scope.add("Div", _number(scope, LOUDNESS), loudness)
    return scope.add("Where", spoken, gain, one), heard


def _power(scope: Scope, audio: str, rate: int) -> tuple[str, str]:
    """Mean square of every moment, float32 [B, n], and n, int64 []."""
    meter = EnergyMeter(rate)
    step = scope.constant(meter.step)
    shape = scope.add("Shape", audio)
    length = scope.add("Gather", shape, scope.constant(1), axis=0)
    steps = scope.add("Add", length, scope.constant(meter.step - 1))
    one = scope.constant(1)
    moments = scope.add("Max", scope.add("Sub", scope.add("Div", steps, step), one), one)
    # The last moment is filled up with silence.
    wanted = scope.add("Mul", scope.add("Add", moments, one), step)
    missing = scope.add("Sub", wanted, length)
    zeros = scope.constant([0, 0, 0])
    pads = scope.add("Concat", zeros, scope.add("Unsqueeze", missing, scope.constant([0])), axis=0)
    padded = scope.add("Unsqueeze", scope.add("Pad", audio, pads), scope.constant([1]))
    kernels = scope.constant(_kernels(meter), np.float32)
    spectrum = scope.add("Conv", padded, kernels, strides=[meter.step])
    squared = scope.add("Mul", spectrum, spectrum)
    return scope.add("ReduceSum", squared, scope.constant([1]), keepdims=0), moments


def _kernels(meter: EnergyMeter) -> Array:
    """Windowed cosines and sines whose squares sum to the mean square, [2 K, 1, 2 * step]."""
    size = 2 * meter.step
    turns = np.outer(np.arange(meter.first, meter.step + 1), np.arange(size)) % size
    angles = turns * (2.0 * math.pi / size)
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * meter.window
    found: Array = waves[:, None] * math.sqrt(2.0 / size)
    return found


def _top(scope: Scope, power: str, moments: str) -> str:
    """`Energy.top`, [B, 1]."""
    quarter = scope.add("Div", moments, scope.constant(4))
    few = scope.add("Min", quarter, scope.constant(20))
    rank = scope.add("Max", scope.add("Div", moments, scope.constant(100)), few)
    ordered = _ordered(scope, power, moments)
    place = scope.add("Sub", scope.add("Sub", moments, scope.constant(1)), rank)
    return _decibels(scope, _column(scope, ordered, place))


def _percentile(scope: Scope, decibels: str, moments: str, share: float = 0.05) -> str:
    """As `numpy.percentile`, [B, 1]."""
    ordered = _ordered(scope, decibels, moments)
    last = scope.add("Sub", moments, scope.constant(1))
    place = scope.add("Mul", scope.add("Cast", last, to=_FLOAT), _number(scope, share))
    below = scope.add("Floor", place)
    first = scope.add("Cast", below, to=_INT64)
    second = scope.add("Min", scope.add("Add", first, scope.constant(1)), last)
    low, high = _column(scope, ordered, first), _column(scope, ordered, second)
    part = scope.add("Sub", place, below)
    return scope.add("Add", low, scope.add("Mul", scope.add("Sub", high, low), part))


def _ordered(scope: Scope, values: str, count: str) -> str:
    """Rows [B, n] in ascending order."""
    every = scope.add("Unsqueeze", count, scope.constant([0]))
    return scope.add_many("TopK", values, every, outputs=2, axis=1, largest=0)[0]


def _column(scope: Scope, values: str, place: str) -> str:
    return scope.add("Gather", values, scope.add("Unsqueeze", place, scope.constant([0])), axis=1)


def _decibels(scope: Scope, power: str) -> str:
    floored = scope.add("Max", power, _number(scope, TINY))
    return scope.add("Mul", scope.add("Log", floored), _number(scope, 10.0 / math.log(10.0)))


def _plus(scope: Scope, value: str, number: float) -> str:
    return scope.add("Add", value, _number(scope, number))


def _number(scope: Scope, value: float) -> str:
    return scope.constant(value, np.float32)
