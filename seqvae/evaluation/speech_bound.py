"""What whole recordings cost a speech model: the ELBO a frame, bits a second of content, nats of style."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.evaluation.likelihood import evaluating
from seqvae.latent import CONTENT, STYLE
from seqvae.model import SequenceVAE

if TYPE_CHECKING:
    from seqvae.data.speech.corpus import SpeechStore


def measure_bound(
    model: SequenceVAE, store: "SpeechStore", recordings: Iterable[int], seed: int = 0
) -> dict[str, float]:
    """Cost of recordings, each read whole; frames and seconds are pooled over them.

    Args:
        model: a speech model, left in the mode it was in.
        store: a split.
        recordings: numbers in it, at least one.
        seed: fixes z.

    The course of the pitch, which the decoder may hear beside the latents, is not counted.

    Returns:
        `elbo_frame` = `reconstruction_frame` + `content_frame` + `style_frame`, nats of standardised frames with
        z a sample of the posterior; `bit_rate` of the content, bit/s; `style`, nats a recording (absent where
        speakers are a table alone); `l1`, mean absolute error of log-mel bins decoded from the posterior means;
        the standard errors `elbo_frame_se`, `bit_rate_se` and `l1_se` over recordings; `seconds`.
    """
    rows = [_cost(model, store, index, seed) for index in recordings]
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    frames = table["frames"]
    total = table["reconstruction"] + table["content"] + table.get("style", 0.0)
    found = {
        "elbo_frame": _ratio(total, frames),
        "reconstruction_frame": _ratio(table["reconstruction"], frames),
        "content_frame": _ratio(table["content"], frames),
        "bit_rate": _ratio(table["content"] / math.log(2), table["seconds"]),
        "l1": _ratio(table["l1"] * frames, frames),
        "seconds": float(table["seconds"].sum()),
    }
    if "style" in table:
        found["style"] = float(table["style"].mean())
        found["style_frame"] = _ratio(table["style"], frames)
    if len(rows) > 1:
        found["elbo_frame_se"] = _ratio_error(total, frames)
        found["bit_rate_se"] = _ratio_error(table["content"] / math.log(2), table["seconds"])
        found["l1_se"] = _ratio_error(table["l1"] * frames, frames)
    return found


def _cost(model: SequenceVAE, store: "SpeechStore", index: int, seed: int) -> dict[str, float]:
    device = next(model.parameters()).device
    values = torch.from_numpy(np.array(store.mel(index), np.float32))[None].to(device)
    speaker = torch.tensor([int(store.speaker[index])], device=device)
    frames = values.shape[1]
    batch = Batch(values, torch.tensor([frames], device=device), labels=speaker)
    with evaluating(model):
        terms = model(batch, torch.tensor([seed + index], device=device))
        kl = {name: float(nats.double().sum()) for name, nats in terms.kl_dimensions.items()}
        assert terms.seconds is not None
        row = {
            "frames": float(frames),
            "seconds": float(terms.seconds),
            "reconstruction": float(terms.reconstruction),
            "content": kl[CONTENT],
            "l1": float((decoded(model, values, speaker) - values).abs().mean()),
        }
    return row | ({"style": kl[STYLE]} if STYLE in kl else {})


def decoded(model: SequenceVAE, values: Tensor, speaker: Tensor) -> Tensor:
    """Log-mel frames [B, T, mels] decoded again from the means of all levels.

    Args:
        model: a speech model.
        values: frames [B, T, mels], all valid.
        speaker: numbers [B], used where the model has a table.
    """
    style = None if model.latent is None else model.style(values).mean
    condition = model.condition(style, None if model.labels is None else speaker)
    content, pitch = model.content(values).mean, model.contour(values)
    return model.frames(content, condition, values.shape[1], pitch)


def _ratio(parts: np.ndarray, sizes: np.ndarray) -> float:
    return float(parts.sum() / sizes.sum())


def _ratio_error(parts: np.ndarray, sizes: np.ndarray) -> float:
    count = len(parts)
    off = parts - _ratio(parts, sizes) * sizes
    return float(np.sqrt((off**2).sum() * count / (count - 1)) / sizes.sum())


def spread(size: int, limit: int | None) -> Sequence[int]:
    """Numbers of `limit` of `size` recordings, evenly spaced; all without a limit."""
    count = size if limit is None else min(limit, size)
    return [int(i) for i in np.unique(np.linspace(0, size - 1, count).round())]
