"""The vocoder of a speech model in graphs: from log-mel frames to sound.

Griffin-Lim becomes loops around one round exported from PyTorch, with the phase of the seed; any
other vocoder is exported as it is, its Fourier transforms as convolutions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from seqvae.export.onnx_export import check_opset, export_module
from seqvae.export.speech_noise import frame_uniforms
from seqvae.export.stitch import Scope, State, following
from seqvae.export.stitch_names import only
from seqvae.vocoders import Vocoder
from seqvae.vocoders.exportable import exportable
from seqvae.vocoders.griffin_lim import NNLS_STEPS, GriffinLimVocoder, griffin_lim_round
from seqvae.vocoders.linear_head import LinearHeadVocoder, in_silence

if TYPE_CHECKING:
    import onnx

Iterative = GriffinLimVocoder | LinearHeadVocoder
_ROWS, _FRAMES = 2, 6
_TINY = 1e-12  # as in `seqvae.vocoders.griffin_lim.nnls`


@dataclass(frozen=True)
class VocoderParts:
    """A vocoder, ready to be put into graphs.

    Attributes:
        vocoder: what it was made of.
        graphs: its parts by name, their weights inside, in any precision.
    """

    vocoder: Vocoder
    graphs: "Mapping[str, onnx.ModelProto]"


def export_vocoder(vocoder: Vocoder, *, opset: int = 20) -> VocoderParts:
    """The parts of a vocoder.

    Args:
        vocoder: any.
        opset: version of ONNX's operators.

    Raises:
        UserError: the opset is not known, or torch cannot export the vocoder.
    """
    check_opset(opset)
    twin = exportable(vocoder).eval()
    if isinstance(twin, Iterative):
        return VocoderParts(twin, {"rounds": _rounds(twin, opset)})
    inputs = {"frames": torch.randn(_ROWS, _FRAMES, vocoder.settings.mels)}
    if twin.noise_width:
        inputs["noise"] = torch.rand(_ROWS, _FRAMES, twin.noise_width)
    axes = {name: {0: "B", 1: "T"} for name in inputs}
    return VocoderParts(twin, {"whole": export_module(twin, inputs, ["audio"], axes, opset=opset)})


def speak(scope: Scope, parts: VocoderParts, frames: str, seed: str, first: str) -> str:
    """Samples of frames.

    Args:
        scope: where the nodes go.
        parts: of the vocoder.
        frames: log-mel, float32 [B, T, mels].
        seed: of what is random, int64 [B, 1].
        first: number of the first frame, int64 [B, 1].

    Returns:
        float32 [B, T * hop].
    """
    vocoder, given = parts.vocoder, {"frames": frames}
    if vocoder.noise_width:
        count = scope.add("Gather", scope.add("Shape", frames), scope.constant(1), axis=0)
        given["noise"] = frame_uniforms(scope, seed, first, count, vocoder.noise_width)
    if isinstance(vocoder, Iterative):
        return _iterate(scope, vocoder, parts.graphs["rounds"], given)
    return scope.inline(parts.graphs["whole"], given, "vocoder")["audio"]


def _iterate(scope: Scope, vocoder: Iterative, rounds: "onnx.ModelProto", given: State) -> str:
    """Griffin-Lim, its phase begun by `noise`."""
    if isinstance(vocoder, LinearHeadVocoder):
        head = only(rounds, ["magnitudes"])
        magnitude = scope.inline(head, given, "head")["magnitudes"]
    else:
        magnitude = _magnitude(scope, vocoder, given["frames"])
    given = given | {"magnitude": magnitude, "turns": given["noise"]}
    begun = scope.inline(only(rounds, ["arranged", "start"]), given, "phase")
    # A part may read the number of frames from any of its inputs.
    given["wanted"] = begun["arranged"]
    zeros = scope.add("Mul", begun["start"], scope.constant(0, np.float32))
    state = {"spectra": begun["start"], "before": zeros}
    step = only(rounds, ["n_spectra", "n_before"])

    def body(inner: Scope, number: str, now: State) -> tuple[str, State, list[str]]:
        made = inner.inline(step, given | now, "round")
        return inner.constant(True), following(made), []

    trips = scope.constant(vocoder.config.iterations)
    state, _ = scope.loop(trips, scope.constant(True), state, body)
    return scope.inline(only(rounds, ["audio"]), given | state, "sound")["audio"]


def _magnitude(scope: Scope, vocoder: GriffinLimVocoder, frames: str) -> str:
    """As `GriffinLimVocoder.magnitude`, [B, T, bins]."""
    linear = scope.add("Exp", frames)
    pseudo = scope.constant(vocoder.pseudo.T.contiguous().numpy())
    floor = scope.constant(vocoder.settings.floor, np.float32)
    magnitude = scope.add("Max", scope.add("MatMul", linear, pseudo), floor)
    if vocoder.config.inverse == "pseudo":
        return magnitude
    filters = scope.constant(vocoder.filters.numpy())
    flipped = scope.constant(vocoder.filters.T.contiguous().numpy())
    target = scope.add("MatMul", linear, filters)

    def body(inner: Scope, number: str, now: State) -> tuple[str, State, list[str]]:
        found = now["magnitude"]
        made = inner.add("MatMul", inner.add("MatMul", found, flipped), filters)
        made = inner.add("Max", made, inner.constant(_TINY, np.float32))
        found = inner.add("Mul", found, inner.add("Div", target, made))
        return inner.constant(True), {"magnitude": found}, []

    trips, go = scope.constant(NNLS_STEPS), scope.constant(True)
    state, _ = scope.loop(trips, go, {"magnitude": magnitude}, body)
    return state["magnitude"]


class _Rounds(nn.Module):
    """Beginning, round and end of Griffin-Lim side by side: one export instead of several."""

    def __init__(self, vocoder: Iterative) -> None:
        super().__init__()
        self.stft, self.momentum = vocoder.stft, vocoder.config.momentum
        self.head = vocoder if isinstance(vocoder, LinearHeadVocoder) else None
        self.outputs = ["arranged", "start", "n_spectra", "n_before", "audio"]
        if self.head is not None:
            self.outputs.append("magnitudes")

    def forward(
        self,
        magnitude: Tensor,
        turns: Tensor,
        spectra: Tensor,
        before: Tensor,
        wanted: Tensor,
        frames: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        arranged = self.stft.arrange(magnitude)
        start = self.stft.polar(arranged, turns)
        following = griffin_lim_round(spectra, before, wanted, self.stft, self.momentum)
        found = (arranged, start, *following, self.stft.trim(self.stft.inverse(spectra)))
        if self.head is None or frames is None:
            return found
        head = self.head
        around = in_silence(frames, head.past, head.ahead, head.settings)
        return (*found, torch.exp(head.log_magnitude(around)))


def _rounds(vocoder: Iterative, opset: int) -> "onnx.ModelProto":
    rounds, settings = _Rounds(vocoder), vocoder.settings
    magnitude = torch.rand(_ROWS, _FRAMES, settings.bins)
    arranged = vocoder.stft.arrange(magnitude)
    spectra = vocoder.stft.polar(arranged, torch.rand_like(magnitude))
    inputs = {
        "magnitude": magnitude,
        "turns": torch.rand_like(magnitude),
        "spectra": spectra,
        "before": torch.zeros_like(spectra),
        "wanted": arranged,
    }
    if rounds.head is not None:
        inputs["frames"] = torch.randn(_ROWS, _FRAMES, settings.mels)
    last = {"spectra": 4, "before": 4, "wanted": 3}
    axes = {name: {0: "B", last.get(name, 1): "T"} for name in inputs}
    return export_module(rounds, inputs, rounds.outputs, axes, opset=opset)
