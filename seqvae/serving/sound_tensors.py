"""The tensors of a speech graph as clients of the Open Inference Protocol see them."""

from typing import Any, NamedTuple

from seqvae.serving.tensor_spec import Spec

_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}
_ABOUT = {
    "audio": "mono sound at the model's rate, one a row",
    "gain": "factor to the loudness that the model knows; 0: it is measured",
    "seed": "fixes everything random",
    "first": "content vectors before this sound, if it is a part of a longer one",
    "sample": "which sample of the latents under that seed",
    "noise_scale": "width of the content's noise",
    "speaker": "whose voice: a number in the list of voices",
    "voice": "vector of a voice, instead of `speaker`",
    "reference": "sound of the voice, heard instead",
    "strength": "0 keeps the source's own voice, 1 takes the wanted one",
    "converted": "the same words in the other voice",
    "frames": "log-mel frames that were spoken",
    "condition": "vector of the voice that spoke",
    "reconstruction": "nats of each frame",
    "content_kl": "nats of each content vector",
    "style_kl": "nats of the style",
}


class Tensors(NamedTuple):
    """What goes in and out of a graph."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]


def tensors_of(session: Any) -> Tensors:  # noqa: ANN401 (onnxruntime has no types)
    """Those of an open session, whose inputs with defaults may be left out."""

    def spec(value: Any, *, optional: bool = False) -> Spec:  # noqa: ANN401
        columns, *more = (size if isinstance(size, int) else -1 for size in value.shape[1:])
        about = _ABOUT[value.name]
        return Spec(value.name, _DATATYPES[value.type], columns, about, optional, tuple(more))

    return Tensors(
        (
            *(spec(value) for value in session.get_inputs()),
            *(spec(value, optional=True) for value in session.get_overridable_initializers()),
        ),
        tuple(spec(value) for value in session.get_outputs()),
    )
