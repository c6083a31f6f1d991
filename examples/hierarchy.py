"""Train a text VAE whose z has two levels, and see what the upper one holds.

    python examples/hierarchy.py LINES.txt RUN [RATE [EPOCHS]]

The upper level enters the lower block of the decoder, the lower level the upper block. RATE nats are for
both together (default 8); half of each level's share is free, so that neither need be empty. Of three
sentences the upper level is kept and the lower one drawn anew: what stays is what the upper one holds.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

import seqvae
from seqvae.config import preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.objectives import RateTarget
from seqvae.posteriors import Ladder
from seqvae.priors import Ladder as LadderPrior
from seqvae.training import train


def main(lines: str, run: str, rate: str = "8", epochs: str = "10") -> None:
    """Prepare, train, and write sentences again with one of their levels."""
    corpus = prepare_text(PrepareText(inputs=(lines,), out=Path(f"{run}-data"), vocab_size=4096))
    usual = preset("tiny")
    model = replace(
        usual.text,
        posterior=Ladder(dimension=32, levels=2),
        prior=LadderPrior(levels=2),
        decoder=replace(usual.text.decoder, levels=2),
    )
    objective = RateTarget(rate=float(rate), floor=0.5, floor_over="level")
    training = replace(usual.training, epochs=float(epochs))
    wanted = replace(usual, data=str(corpus.path), run=run, model=model, objective=objective)
    found = train(replace(wanted, training=training))
    print(f"KL of the upper level {found['kl_1']:.2f} nats, of the lower one {found['kl_2']:.2f}")

    trained = seqvae.load(run)
    store = corpus.split("test")
    texts = [corpus.tokenizer.decode(store.tokens(row)) for row in range(min(3, len(store)))]
    z = trained.encode(texts).mean
    prior = trained.need_latent("hierarchy").prior
    with torch.inference_mode():
        drawn = [prior.redraw(z, torch.randn_like(z), 1) for _ in range(3)]
    for text, *written in zip(texts, *map(trained.decode, drawn), strict=True):
        print("\n".join([text, *(f"  -> {again}" for again in written)]))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
