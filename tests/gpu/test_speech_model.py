"""A speech model on a GPU: its latents by the kernels, its terms and gradients those of a CPU."""

import pytest
import torch
from torch import Tensor

from seqvae.ops import explain
from tests.test_speech_networks import SEED, small_batch, small_model

pytestmark = pytest.mark.gpu


def terms_and_gradients(device: str) -> list[Tensor]:
    model = small_model(speakers="both").to(device).train()
    terms = model(small_batch().to(device), SEED.to(device))
    (terms.reconstruction.mean() + 0.3 * terms.kl.mean()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [x.cpu() for x in (terms.reconstruction, *terms.kl_dimensions.values(), *gradients)]


def test_every_level_takes_a_kernel_and_gives_what_a_cpu_gives() -> None:
    # Convolutions of a GPU drop digits of float32 unless told not to.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = terms_and_gradients("cuda")
    taken = {choice.op: choice.path for choice in explain()}
    assert {taken["gaussian_latent"], taken["gaussian_latent_backward"]} <= {"triton", "aot"}
    for x, y in zip(found, terms_and_gradients("cpu"), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def test_training_in_bfloat16_gives_finite_terms_in_float32() -> None:
    model = small_model().cuda().train()
    with torch.autocast("cuda", torch.bfloat16):
        terms = model(small_batch().to("cuda"), SEED.cuda())
    total = terms.reconstruction.mean() + terms.kl.mean() + terms.penalty
    total.backward()
    assert terms.reconstruction.dtype == terms.kl.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
