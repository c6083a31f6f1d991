"""What a speech model computes, as two ONNX graphs of which all others are put together.

    listen   audio float32 [B, N], gain [B, 1]
          -> frames [B, T, mels], content_mean, content_log_variance [B, V, D], contour [B, T, 3] and
             center [B, 1] if the model reads pitch, style_mean, style_log_variance [B, S] if it has a
             style encoder
    decode   content [B, V, D], condition [B, C], frames [B, T, mels], contour
          -> spoken [B, T, mels], cost [B, T]: nats of `frames`

Of a model that reads pitch a condition ends with the centre of the voice's pitch, in natural log Hz, where
the course lies in `spoken`; 0 where none is known, and the pitch stays where it is. `cost` is of the pitch as read.

There are V = N / (hop * stride) content vectors, rounded up, and T = V * stride frames: what lacks at
the end is silence. A graph is cut to what is wanted of it, see `seqvae.export.stitch_names.only`: torch's
exporter takes as long for many small modules as for one large one times their number.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.data.speech.loudness import PEAK
from seqvae.data.speech.pitch import CONTOUR_SCALE
from seqvae.errors import UserError
from seqvae.export.onnx_export import check_opset, export_module
from seqvae.likelihoods import FrameLikelihood
from seqvae.model import SequenceVAE
from seqvae.nn.mel import MelSpectrogram
from seqvae.posteriors import FrameGaussian
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.posterior import Posterior
from seqvae.tasks.f0 import FEWEST
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.voice import Voice

if TYPE_CHECKING:
    import onnx

_ROWS, _VECTORS = 2, 6


def export_speech_parts(model: SpeechModel, *, opset: int = 20) -> "dict[str, onnx.ModelProto]":
    """The graphs `listen` and `decode`, their weights inside.

    Args:
        model: any speech model.
        opset: version of ONNX's operators.

    Raises:
        UserError: the opset is not known, or the model has a part that no graph is written for.
    """
    check_opset(opset)
    network = model.model
    if not isinstance(network.likelihood, FrameLikelihood):
        raise UserError(
            f"export: no graph is written for the likelihood {type(network.likelihood).__name__}"
        )
    listen, decode = _Listen(model), _Decode(network, model.step // model.settings.hop)
    # Not whole vectors: the exporter must see that silence is added.
    samples = _VECTORS * model.step - model.settings.hop
    heard = {"audio": 0.1 * torch.randn(_ROWS, samples), "gain": torch.ones(_ROWS, 1)}
    with torch.no_grad():
        found = dict(zip(listen.outputs, listen(*heard.values()), strict=True))
    spoken = {
        "content": found["content_mean"],
        "condition": torch.randn(_ROWS, condition_size(network)),
        "frames": found["frames"],
    }
    if "contour" in found:
        spoken["contour"] = found["contour"]
    axes = {"audio": {0: "B", 1: "N"}, "gain": {0: "B"}, "content": {0: "B", 1: "V"}}
    axes |= {"condition": {0: "B"}, "frames": {0: "B", 1: "T"}, "contour": {0: "B", 1: "T"}}
    return {
        "listen": export_module(listen, heard, listen.outputs, axes, opset=opset),
        "decode": export_module(decode, spoken, ["spoken", "cost"], axes, opset=opset),
    }


def condition_size(model: SequenceVAE) -> int:
    """Size C of what the decoder hears of a voice."""
    style = 0 if model.latent is None else model.latent.dimension
    table = 0 if model.labels is None else model.labels.embedding_dim
    return style + table + (model.pitch is not None)


def voice_vector(model: SpeechModel, voice: Voice) -> Tensor:
    """A voice as the graphs take it, float32 [C]: with the centre of its pitch where the model reads pitch."""
    vector = voice.condition.detach().cpu().float()
    if model.model.pitch is None:
        return vector
    center = 0.0 if voice.f0 is None else voice.f0.center
    return torch.cat([vector, vector.new_tensor([center])])


class _Listen(nn.Module):
    """All that is read from a sound."""

    def __init__(self, speech: SpeechModel) -> None:
        super().__init__()
        self.model, self.step = speech.model, speech.step
        self.mel = MelSpectrogram(speech.settings, exportable=True)
        self.outputs = ["frames", "content_mean", "content_log_variance"]
        if speech.model.pitch is not None:
            self.outputs += ["contour", "center"]
        if speech.model.latent is not None:
            self.outputs += ["style_mean", "style_log_variance"]

    def forward(self, audio: Tensor, gain: Tensor) -> tuple[Tensor, ...]:
        samples = (audio * gain).clamp(-PEAK, PEAK)
        # As `seqvae.tasks.render.listen`; rounded up without a negative number.
        vectors = (samples.shape[1] + self.step - 1) // self.step
        frames = self.mel(F.pad(samples, (0, vectors * self.step - samples.shape[1])))
        found = [frames, *_statistics(self.model.content(frames))]
        contour = self.model.contour(frames)
        if contour is not None:
            found += [contour, center_of(contour)]
        if self.model.latent is not None:
            found += _statistics(self.model.style(frames))
        return tuple(found)


class _Decode(nn.Module):
    """Frames in a voice, and what given frames cost there."""

    def __init__(self, model: SequenceVAE, stride: int) -> None:
        super().__init__()
        assert isinstance(model.likelihood, FrameLikelihood)
        self.decoder, self.likelihood, self.stride = model.decoder, model.likelihood, stride
        self.pitch = model.pitch is not None

    def forward(
        self, content: Tensor, condition: Tensor, frames: Tensor, contour: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        count, moved = content.shape[1] * self.stride, contour
        if self.pitch:
            assert contour is not None
            condition, center = condition[:, :-1], condition[:, -1:]
            place = center + CONTOUR_SCALE * contour[..., 0]
            log = torch.where(center > 0, place * contour[..., 1], contour[..., 2])
            moved = torch.cat([contour[..., :2], log[..., None]], -1)
        spoken = self.likelihood.mean(self.decoder(content, condition, count, moved))
        states = self.decoder(content, condition, count, contour)
        return spoken, self.likelihood.nll_steps(states, frames)


def center_of(contour: Tensor) -> Tensor:
    """Median of the log-frequencies where voiced, [B, 1], of a contour [B, T, 3]; 0 where too few are.

    As `seqvae.tasks.f0.f0_of`.
    """
    voiced, log = contour[..., 1], contour[..., 2]
    # Unvoiced frames, whose logarithm is 0, come first.
    ordered = log.sort(-1).values
    count = voiced.sum(-1, keepdim=True).long()
    last = contour.shape[1] - 1
    upper = (last - (count - 1) // 2).clamp(0, last)
    lower = (last - count // 2).clamp(0, last)
    middle = (ordered.gather(1, upper) + ordered.gather(1, lower)) / 2
    return torch.where(count >= FEWEST, middle, 0.0)


def _statistics(posterior: Posterior) -> list[Tensor]:
    if not isinstance(posterior, FrameGaussian | DiagonalGaussian):
        raise UserError(f"export: no graph is written for the posterior {type(posterior).__name__}")
    return [posterior.location, posterior.log_variance]
