"""Tiny untrained models and batches, made loud enough that z matters."""

import torch

from seqvae.batch import Batch
from seqvae.data.text import BOS, EOS, PAD
from seqvae.decoders import Gru, Transformer
from seqvae.encoders import Transformer as TransformerEncoder
from seqvae.latent import Latent
from seqvae.likelihoods import Categorical
from seqvae.model import SequenceVAE
from seqvae.posteriors import Gaussian
from seqvae.priors import Standard

VOCABULARY, WIDTH, LATENT, MAX_LENGTH = 23, 16, 4, 64


def tiny_model(
    decoder: str = "transformer", latent: bool = True, vocabulary: int = VOCABULARY, seed: int = 0
) -> SequenceVAE:
    """A text model in evaluation mode, its weights larger than at the start of a training."""
    torch.manual_seed(seed)
    config = (
        Transformer(layers=1, width=WIDTH, heads=2, prefix=2)
        if decoder == "transformer"
        else Gru(width=WIDTH)
    )
    model = SequenceVAE(
        Latent(
            TransformerEncoder(layers=1, width=WIDTH, heads=2).build(WIDTH, MAX_LENGTH),
            Gaussian(LATENT).build(WIDTH),
            Standard().build(LATENT),
        )
        if latent
        else None,
        config.build(LATENT if latent else None, MAX_LENGTH),
        Categorical().build(vocabulary, WIDTH),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)
    return model.eval()


def tiny_batch(size: int = 5, seed: int = 0, vocabulary: int = VOCABULARY) -> Batch:
    """Random sequences of 3 to 9 steps."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 10, (size,), generator=generator)
    steps = int(lengths.max())
    values = torch.randint(5, vocabulary, (size, steps), generator=generator)
    values[:, 0] = BOS
    values[torch.arange(size), lengths - 1] = EOS
    return Batch(values.where(torch.arange(steps) < lengths[:, None], PAD), lengths)
