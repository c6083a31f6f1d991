"""The graphs of a speech bundle, put together of parts: sound in, sound out, in one call.

    model     audio float32 [B, N] -> converted [B, N], frames [B, T, mels], condition [B, C]
    encoder   audio -> mean, log_variance [B, V, D], contour [B, T, 3] if the model reads pitch
    style     audio -> mean, log_variance [B, S]; only if the model has a style encoder
    decoder   content [B, V, D], condition [B, C], contour -> frames [B, T, mels]
    vocoder   frames, seed, first -> audio [B, T * hop]
    score     audio -> reconstruction [B, T], content_kl [B, V], style_kl [B, 1], all in nats

Sound is mono, at the one rate that the model knows, of any length from one sample on. Every other input
has a default and one row or B:

    speaker      int64 [.., 1]: whose voice, a number in the list of voices; 0
    voice        float32 [.., C]: the vector of a voice, instead of `speaker`; none
    reference    float32 [.., M]: a sound of the voice, heard instead; none. With a style encoder.
    strength     float32 [.., 1]: 0 keeps the source's own voice, 1 takes the wanted one; 1. With one, too.
    noise_scale  float32 [.., 1]: width of the content's noise; 0, in `score` 1
    seed         int64 [.., 1]: fixes everything random; 0
    gain         float32 [.., 1]: factor to the loudness that the model knows; 0: it is measured
    first        int64 [.., 1]: content vectors before this sound, if it is a part of a longer one; 0
    sample       int64 [.., 1]: of `score`, which sample of the latents under that seed; 0

A sound without anything to hear in it stays silent.
"""

from typing import TYPE_CHECKING

import numpy as np

from seqvae.data.speech.loudness import PEAK
from seqvae.export.bundle_manifest import SPEECH_OPTIONS
from seqvae.export.speech_graph import (
    FLOAT,
    INT64,
    Graph,
    Shape,
    SpeechIngredients,
    around,
    is_true,
    number,
    vectors_of,
)
from seqvae.export.speech_loudness import loudness_gain
from seqvae.export.speech_noise import frame_normals
from seqvae.export.speech_score import build_score
from seqvae.export.speech_vocoder import speak
from seqvae.export.stitch import Scope, State
from seqvae.export.stitch_names import only

if TYPE_CHECKING:
    import onnx


def build_speech_graphs(made_of: SpeechIngredients) -> "dict[str, onnx.ModelProto]":
    """Every graph, by the name of its file."""
    graphs = {
        "model": _model(made_of),
        "encoder": _encoder(made_of),
        "decoder": _decoder(made_of),
        "vocoder": _vocoder(made_of),
        "score": build_score(made_of),
    }
    if made_of.facts.style:
        graphs["style"] = _style(made_of)
    return graphs


def _model(made_of: SpeechIngredients) -> "onnx.ModelProto":
    graph = Graph(made_of)
    scope, facts = graph.scope, graph.facts
    scope.reserve(["converted", "frames", "condition"])
    audio = graph.audio()
    gain, audible = graph.gained(audio)
    seed, first = graph.option("seed", 0, np.int64), graph.option("first", 0, np.int64)
    noise_scale = graph.option("noise_scale", SPEECH_OPTIONS["noise_scale"].default)
    condition = graph.voice()
    heard = graph.heard(audio, gain)
    if facts.style:
        condition = _referred(graph, condition)
        condition = _strengthened(graph, condition, audio, gain, heard["frames"])
    content = _drawn(graph, heard, noise_scale, seed, first)
    spoken = graph.decode("spoken", content, condition, heard)
    frame = scope.add("Mul", first, scope.constant(facts.stride))
    sound = speak(scope, made_of.vocoder, spoken, seed, frame)
    # As many samples as there were, as loud as they were.
    begin, one = scope.constant([0]), scope.constant([1])
    length = scope.add("Shape", audio, start=1, end=2)
    sound = scope.add("Slice", sound, begin, length, one)
    sound = scope.add("Mul", scope.add("Div", sound, gain), audible)
    sound = scope.add("Clip", sound, number(scope, -PEAK), number(scope, PEAK))
    return graph.finish(
        {
            "converted": (sound, ["B", "N"]),
            "frames": (spoken, ["B", "T", facts.mel.mels]),
            "condition": (condition, ["B", facts.condition]),
        }
    )


def _referred(graph: Graph, condition: str) -> str:
    """The voice, its style heard in the reference where there is one."""
    reference = graph.maybe("reference", np.zeros((1, 0), np.float32), "M")

    def hear(inner: Scope) -> list[str]:
        gain, _ = loudness_gain(inner, reference, graph.facts.rate)
        wanted = ["style_mean", "center"] if graph.facts.pitch else ["style_mean"]
        part = only(graph.made_of.parts["listen"], wanted)
        found = inner.inline(part, {"audio": reference, "gain": gain}, "reference")
        style = graph.centred(inner, found["style_mean"])
        style = graph.every(inner, style, graph.facts.style, "reference")
        center = found.get("center")
        if center is not None:
            center = graph.every(inner, center, 1, "pitch of the reference")
        return [graph.with_style(inner, condition, style, center)]

    def keep(inner: Scope) -> list[str]:
        return [inner.add("Identity", condition)]

    return graph.scope.when(graph.has(reference, 1), hear, keep)[0]


def _strengthened(graph: Graph, condition: str, audio: str, gain: str, frames: str) -> str:
    """The voice at `strength` of the way from the source's own to the wanted one."""
    scope = graph.scope
    strength = graph.option("strength", SPEECH_OPTIONS["strength"].default)
    one = number(scope, 1.0)
    plain = scope.add("Cast", scope.add("Equal", strength, one), to=INT64)

    def keep(inner: Scope) -> list[str]:
        return [inner.add("Identity", condition)]

    def move(inner: Scope) -> list[str]:
        wanted = ["style_mean", "center"] if graph.facts.pitch else ["style_mean"]
        part = only(graph.made_of.parts["listen"], wanted, ["frames"])
        found = inner.inline(part, {"audio": audio, "gain": gain, "frames": frames}, "own")
        style = graph.centred(inner, found["style_mean"])
        center = found.get("center")
        if center is not None:
            # Where one of the two is not known there is no way between them.
            size, nothing = graph.facts.condition, number(inner, 0.0)
            other = graph.columns(inner, condition, size - 1, size)
            both = (inner.add("Greater", value, nothing) for value in (center, other))
            center = inner.add("Where", inner.add("And", *both), center, other)
        own = graph.with_style(inner, condition, style, center)
        way = inner.add("Mul", inner.add("Sub", condition, own), strength)
        return [inner.add("Add", own, way)]

    every = scope.add("ReduceMin", plain, keepdims=0)
    return scope.when(is_true(scope, every), keep, move)[0]


def _drawn(graph: Graph, heard: State, noise_scale: str, seed: str, first: str) -> str:
    """Content vectors [B, V, D] around their means."""
    scope, mean = graph.scope, heard["content_mean"]
    noise = frame_normals(scope, seed, first, vectors_of(scope, mean), graph.made_of.content)
    return around(scope, mean, heard["content_log_variance"], noise, noise_scale)


def _encoder(made_of: SpeechIngredients) -> "onnx.ModelProto":
    graph = Graph(made_of)
    graph.scope.reserve(["mean", "log_variance", "contour"])
    audio = graph.audio()
    heard = graph.heard(audio, graph.gained(audio)[0])
    outputs: dict[str, tuple[str, Shape]] = {
        "mean": (heard["content_mean"], ["B", "V", made_of.content]),
        "log_variance": (heard["content_log_variance"], ["B", "V", made_of.content]),
    }
    if made_of.facts.pitch:
        outputs["contour"] = (heard["contour"], ["B", "T", 2])
    return graph.finish(outputs)


def _style(made_of: SpeechIngredients) -> "onnx.ModelProto":
    graph = Graph(made_of)
    graph.scope.reserve(["mean", "log_variance"])
    audio = graph.audio()
    gain, _ = graph.gained(audio)
    heard = graph.listen(audio, gain, "style_mean", "style_log_variance")
    return graph.finish(
        {
            "mean": (heard["style_mean"], ["B", made_of.facts.style]),
            "log_variance": (heard["style_log_variance"], ["B", made_of.facts.style]),
        }
    )


def _decoder(made_of: SpeechIngredients) -> "onnx.ModelProto":
    graph = Graph(made_of)
    graph.scope.reserve(["frames"])
    facts = made_of.facts
    content = graph.take("content", FLOAT, "B", "V", made_of.content)
    condition = graph.take("condition", FLOAT, "B", facts.condition)
    known = {"contour": graph.take("contour", FLOAT, "B", "T", 2)} if facts.pitch else {}
    spoken = graph.decode("spoken", content, condition, known)
    return graph.finish({"frames": (spoken, ["B", "T", facts.mel.mels])})


def _vocoder(made_of: SpeechIngredients) -> "onnx.ModelProto":
    graph = Graph(made_of)
    graph.scope.reserve(["audio"])
    frames = graph.take("frames", FLOAT, "B", "T", made_of.facts.mel.mels)
    graph.count = graph.scope.add("Shape", frames, start=0, end=1)
    seed, first = graph.option("seed", 0, np.int64), graph.option("first", 0, np.int64)
    frame = graph.scope.add("Mul", first, graph.scope.constant(made_of.facts.stride))
    sound = speak(graph.scope, made_of.vocoder, frames, seed, frame)
    return graph.finish({"audio": (sound, ["B", "N"])})
