"""Train on a table of texts with a label and a number, and draw texts of every label at several numbers.

    python examples/attributes.py TABLE.tsv RUN [STEPS]

TABLE.tsv has a header with the columns text, label and number, in any order; what the label and the number mean is
up to the table (a topic and a year, a mood and a length). Afterwards:
seqvae sample RUN --label LABEL --label number=VALUE.
"""

import dataclasses
import sys
from pathlib import Path

import seqvae
from seqvae.config import preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.training import train


def main(table: str, run: str, steps: str = "4000") -> None:
    """Prepare, train, and draw."""
    corpus = prepare_text(
        PrepareText(
            (table,),
            Path(f"{run}-data"),
            label="label",
            attributes=("number:number",),
        )
    )
    experiment = preset("tiny")
    wanted = dataclasses.replace(
        experiment,
        data=str(corpus.path),
        run=run,
        model=dataclasses.replace(experiment.text, conditional=True),
        training=dataclasses.replace(experiment.training, steps=int(steps)),
    )
    train(wanted)

    model = seqvae.load(run)
    (number,) = model.attributes
    for label in model.labels:
        for value in (number.least, number.mean, number.greatest):
            told = model.given(label, number=value)
            print(f"{label}, {value:g}: {' / '.join(told.sample(3, seed=0))}")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
