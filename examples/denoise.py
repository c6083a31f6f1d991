"""Train a repairer of sentences on a file with one sentence a line, and let it repair some.

    python examples/denoise.py LINES.txt RUN [RATE [STEPS]]

Each line is damaged three times, in words lost, exchanged and mistyped, and the model learns to write
the whole line from the damaged one. RATE is what z may carry: about as many nats as a sentence costs
(default 60), for what z does not hold is invented. Afterwards: seqvae denoise RUN "a sentense".
"""

import dataclasses
import random
import sys
from pathlib import Path

import seqvae
from seqvae.config import preset
from seqvae.data.noise_text import DAMAGES, damage, word_errors
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.training import train


def main(lines: str, run: str, rate: str = "60", steps: str = "9000") -> None:
    """Write pairs, train on them, and repair lines that were held out."""
    texts = [" ".join(t.split()) for t in Path(lines).read_text("utf-8").splitlines() if t.strip()]
    random.Random(0).shuffle(texts)
    held, used = texts[:20], texts[20:]
    noise, kinds = random.Random(1), list(DAMAGES)
    pairs = Path(f"{run}-pairs.tsv")
    rows = [(damage(t, kinds, noise.uniform(0, 0.3), noise), t) for t in used for _ in range(3)]
    pairs.write_text("".join(f"{damaged}\t{whole}\n" for damaged, whole in rows), "utf-8")
    source = PrepareText((str(pairs),), Path(f"{run}-data"), columns=("1", "2"), header=False)
    corpus = prepare_text(source)

    experiment = preset("tiny", rate=float(rate))
    training = dataclasses.replace(experiment.training, steps=int(steps))
    train(dataclasses.replace(experiment, data=str(corpus.path), run=run, training=training))

    model = seqvae.load(run)
    damaged = [damage(text, kinds, 0.15, noise) for text in held]
    repaired = model.denoise(damaged)
    for text, written in list(zip(damaged, repaired, strict=True))[:5]:
        print(f"{text}\n  -> {written}")
    before, after = (sum(map(word_errors, found, held)) for found in (damaged, repaired))
    print(f"word errors of {len(held)} lines: {before} before, {after} after")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
