"""Train a text VAE on a file with one sentence a line, and see whether z carries anything.

    python examples/train_text.py LINES.txt RUN [RATE [EPOCHS]]

Writes the corpus to RUN-data and the run to RUN; started again with the same arguments it goes on
where it was stopped. RATE is the one dial: nats per sentence that z shall carry (default 8). Compare
it with what the model says a sentence costs in all: at 8 of 35 nats z holds the topic and the frame,
at 30 almost every word.
"""

import dataclasses
import sys
from pathlib import Path

import seqvae
from seqvae.config import preset
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.evaluation.evaluate import evaluate, format_report
from seqvae.training import train


def main(lines: str, run: str, rate: str = "8", epochs: str = "10") -> None:
    """Prepare, train, evaluate, and show what the model does."""
    corpus = prepare_text(PrepareText(inputs=(lines,), out=Path(f"{run}-data"), vocab_size=4096))

    experiment = preset("tiny", rate=float(rate))
    training = dataclasses.replace(experiment.training, epochs=float(epochs))
    train(dataclasses.replace(experiment, data=str(corpus.path), run=run, training=training))

    model = seqvae.load(run)
    # 50 samples and 500 sentences are enough for a look; the defaults are those of the literature.
    print(format_report(evaluate(model.model, corpus, "test", samples=50, limit=500)))

    test = corpus.split("test")
    texts = [corpus.tokenizer.decode(test.tokens(i)) for i in range(min(3, len(test)))]
    print("\nfrom the prior")
    for text in model.sample(5):
        print("  " + text)
    print("\nread and written again")
    for text, again in zip(texts, model.reconstruct(texts), strict=True):
        print(f"  {text}\n  -> {again}")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
