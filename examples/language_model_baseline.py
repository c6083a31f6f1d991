"""What does the latent cost? Train the same decoder without one, on the same budget, and compare.

    python examples/language_model_baseline.py RUN [SAMPLES [SEQUENCES]]

Reads the configuration of the VAE in RUN, trains its decoder alone (`latent none`) in
RUN-language-model, and prints both likelihoods on the test split in the same units. A VAE whose
negative log-likelihood is above its language model's pays for its latent; one with a KL of 0 is the
language model.
"""

import dataclasses
import sys

import seqvae
from seqvae.data.corpus import Corpus
from seqvae.errors import UserError
from seqvae.evaluation.evaluate import evaluate
from seqvae.training import train


def main(run: str, samples: str = "100", sequences: str = "1000") -> None:
    """Train the baseline, measure both, print the difference."""
    vae = seqvae.load(run)
    experiment = vae.info["experiment"]
    baseline = f"{run}-language-model"
    train(dataclasses.replace(experiment, latent="none", run=baseline))

    corpus = Corpus.open(experiment.data)
    reports = {
        name: evaluate(model.model, corpus, "test", samples=int(samples), limit=int(sequences))
        for name, model in (("language model", seqvae.load(baseline)), ("VAE", vae))
    }
    for name, report in reports.items():
        print(f"{name:>14}: {report['nll_iw']:7.2f} nats, {report['bits_per_byte']:.3f} bits/byte")
    vae_report = reports["VAE"]
    ratio = vae_report["nll_iw"] / reports["language model"]["nll_iw"]
    print(f"{ratio:.3f} x, with {vae_report['kl']:.2f} nats in z ", end="")
    print(f"and mutual information {vae_report['mi']:.2f} of at most {vae_report['mi_cap']:.2f}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
