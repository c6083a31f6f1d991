"""The latents of a speech model, one vector every few frames with padding among them, by the Triton source."""

import torch
from torch import Tensor

from seqvae.ops import explain, use
from seqvae.ops.dispatch import Path
from tests.test_speech_networks import SEED, small_batch, small_model


def terms_and_gradients(path: Path) -> tuple[list[Tensor], dict[str, Path]]:
    model = small_model(speakers="both").train()
    with use(path):
        terms = model(small_batch(), SEED, 2)
        assert terms.log_ratio is not None
        (terms.reconstruction.mean() + 0.3 * terms.kl.mean()).backward()
        taken = {choice.op: choice.path for choice in explain()}
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [terms.reconstruction, *terms.kl_dimensions.values(), terms.log_ratio, *gradients], taken


def test_the_kernels_serve_every_level_and_give_what_the_reference_gives() -> None:
    found, taken = terms_and_gradients("triton")
    assert taken["gaussian_latent"] == taken["gaussian_latent_backward"] == "triton"
    expected, _ = terms_and_gradients("reference")
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)
