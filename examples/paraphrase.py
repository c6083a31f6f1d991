"""Say sentences differently, more and more freely.

    python examples/paraphrase.py RUN SENTENCE...

z is drawn around where the sentence lies: mean + scale x deviation x noise. A scale of 0 writes the
sentence again, 1 is as free as the model is unsure, beyond that the meaning drifts. The score says
how well the model finds a candidate fits the sentence (nats per piece, higher is better); copies of
the sentence are marked and come last.
"""

import sys

import seqvae
from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding

SCALES = (0.5, 1.0, 1.5)


def main(run: str, *sentences: str) -> None:
    """Print up to five candidates for each sentence and scale."""
    model = seqvae.load(run)
    decoding = Decoding(strategy="beam", beam_size=4)
    for scale in SCALES:
        print(f"\nnoise scale {scale:g}")
        for found in model.paraphrase(sentences, n=5, noise_scale=scale, decoding=decoding):
            print(f"  {found.text}")
            for candidate in found.candidates:
                mark = "  (a copy)" if candidate.copy else ""
                print(f"    {candidate.score:6.2f}  {candidate.text}{mark}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
