"""Train on a table of texts and their styles, and say some held-out texts in every other style.

    python examples/transfer_style.py TABLE.tsv RUN [RATE [STEPS]]

TABLE.tsv has a text, a tab and its style in each line, without a header; which texts say the same need
not be known. RATE is what z may carry besides the style (default 32 nats): too little and the text is
lost. Afterwards: seqvae transfer RUN TEXT --to STYLE.
"""

import dataclasses
import sys
from pathlib import Path

import seqvae
from seqvae.config import preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.training import train


def main(table: str, run: str, rate: str = "32", steps: str = "6000") -> None:
    """Prepare, train, and transfer the last lines of the table."""
    lines = [line for line in Path(table).read_text("utf-8").splitlines() if line.strip()]
    held, used = lines[-5:], lines[:-5]
    kept = Path(f"{run}-texts.tsv")
    kept.write_text("".join(f"{line}\n" for line in used), "utf-8")
    corpus = prepare_text(
        PrepareText((str(kept),), Path(f"{run}-data"), columns=("1",), label="2", header=False)
    )

    experiment = preset("tiny", rate=float(rate))
    wanted = dataclasses.replace(
        experiment,
        data=str(corpus.path),
        run=run,
        model=dataclasses.replace(experiment.text, conditional=True),
        training=dataclasses.replace(experiment.training, steps=int(steps)),
    )
    train(wanted)

    model = seqvae.load(run)
    for text, _, style in (line.partition("\t") for line in held):
        print(f"{style}: {text}")
        for other in model.labels:
            if other != style:
                print(f"  {other}: {model.transfer([text], other, style)[0]}")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
