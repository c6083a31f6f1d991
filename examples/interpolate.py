"""Walk from one sentence to another, and do arithmetic with sentences.

    python examples/interpolate.py RUN FROM TO [A B C]

Prints the walk along the arc and along the straight line, with the distance walked. With three more
sentences it prints what C becomes when it is moved by the difference from A to B: two sentences that
differ in one thing (tense, number, mood) move a third by that thing, if the latent holds it.
"""

import sys

import numpy as np

import seqvae
from seqvae.errors import UserError

STEPS = 7


def main(run: str, first: str, last: str, *analogy: str) -> None:
    """Print the walks, and the analogy when its three sentences are given."""
    model = seqvae.load(run)
    ends = model.latent_mean([first, last])
    print(f"{np.linalg.norm(ends[1] - ends[0]):.2f} apart in {ends.shape[1]} dimensions")
    for spherical, name in ((True, "arc"), (False, "line")):
        print(f"\nalong the {name}")
        for text in model.interpolate(first, last, STEPS, spherical=spherical):
            print(f"  {text}")
    if analogy:
        a, b, c = model.latent_mean(analogy)
        print(f"\n{analogy[0]} : {analogy[1]} = {analogy[2]} :")
        print(f"  {model.decode((c + b - a)[None])[0]}")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 7):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
