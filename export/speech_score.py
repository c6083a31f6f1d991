"""The graph `score` of a speech bundle: what a sound costs, in nats."""

from typing import TYPE_CHECKING

import numpy as np

from seqvae.export.speech_graph import (
    Graph,
    SpeechIngredients,
    around,
    divergence,
    number,
    vectors_of,
)
from seqvae.export.speech_noise import frame_normals
from seqvae.export.stitch import Scope, State
from seqvae.export.stitch_names import only

if TYPE_CHECKING:
    import onnx


def build_score(made_of: SpeechIngredients) -> "onnx.ModelProto":
    """As `seqvae.tasks.speech_score` for one sample of the latents."""
    graph = Graph(made_of)
    scope, facts = graph.scope, graph.facts
    scope.reserve(["reconstruction", "content_kl", "style_kl"])
    audio = graph.audio()
    gain, _ = graph.gained(audio)
    seed, sample = graph.option("seed", 0, np.int64), graph.option("sample", 0, np.int64)
    noise_scale = graph.option("noise_scale", 1.0)
    condition = graph.voice()
    heard = graph.heard(audio, gain)
    mean, log_variance = heard["content_mean"], heard["content_log_variance"]
    vectors = vectors_of(scope, mean)
    # Samples follow each other in the second stream of the seed; the first is the style's.
    begin = scope.add("Mul", sample, vectors)
    noise = frame_normals(scope, seed, begin, vectors, made_of.content, stream=1)
    content = around(scope, mean, log_variance, noise, noise_scale)
    zero = scope.add("Mul", noise_scale, number(scope, 0.0))
    style_kl = zero
    if facts.style:
        condition, style_kl = _inferred(graph, condition, audio, gain, heard, (seed, sample), zero)
    cost = graph.decode("cost", content, condition, heard)
    return graph.finish(
        {
            "reconstruction": (cost, ["B", "T"]),
            "content_kl": (divergence(scope, mean, log_variance, 2), ["B", "V"]),
            "style_kl": (style_kl, ["B", 1]),
        }
    )


def _inferred(
    graph: Graph,
    condition: str,
    audio: str,
    gain: str,
    heard: State,
    draw: tuple[str, str],
    zero: str,
) -> tuple[str, str]:
    """The voice and what it costs: as it is given, or a sample of what is heard in the sound."""
    size, variance = graph.facts.style, graph.made_of.style_variance

    def given(inner: Scope) -> list[str]:
        return [inner.add("Identity", condition), inner.add("Identity", zero)]

    def infer(inner: Scope) -> list[str]:
        part = only(graph.made_of.parts["listen"], ["style_mean", "style_log_variance"], ["frames"])
        read = {"audio": audio, "gain": gain, "frames": heard["frames"]}
        found = inner.inline(part, read, "own")
        mean, log_variance = found["style_mean"], found["style_log_variance"]
        noise = frame_normals(inner, *draw, inner.constant(1), size)
        noise = inner.add("Squeeze", noise, inner.constant([1]))
        half = inner.add("Exp", inner.add("Mul", log_variance, number(inner, 0.5)))
        style = inner.add("Add", mean, inner.add("Mul", half, noise))
        # KL to N(0, variance) is that of the posterior in units of its deviation to N(0, 1).
        mean = inner.add("Mul", mean, number(inner, variance**-0.5))
        log_variance = inner.add("Sub", log_variance, number(inner, float(np.log(variance))))
        cost = divergence(inner, mean, log_variance, 1, keep=1)
        return [graph.with_style(inner, condition, style), cost]

    has = graph.has("voice", 0)
    condition, cost = graph.scope.when(has, given, infer)
    return condition, cost
