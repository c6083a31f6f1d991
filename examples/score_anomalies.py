"""Find the lines of a file that do not belong, and say what is odd about them.

    python examples/score_anomalies.py RUN LINES.txt [HOW_MANY]

Ranks lines by their misfit: what they cost beyond what z holds of them, in nats per piece, so that
long lines are not odd for being long. Lines of another kind than the training texts have most of it.
Beside it the KL and the most surprising pieces, which say where a line goes wrong.
"""

import sys
from pathlib import Path

import seqvae
from seqvae.errors import UserError


def main(run: str, lines: str, how_many: str = "10") -> None:
    """Print the oddest lines, oddest first."""
    model = seqvae.load(run)
    model.crop = True  # one endless line shall not stop the search: judge its beginning
    texts = [t for t in Path(lines).read_text(encoding="utf-8").splitlines() if t.strip()]
    scores = model.score(texts, samples=20)
    usual = sorted(score.misfit for score in scores)[len(scores) // 2] if scores else 0.0
    print(f"{len(scores)} lines, the median costs {usual:.2f} nats a piece\n")
    for score in sorted(scores, key=lambda s: -s.misfit)[: int(how_many)]:
        print(f"{score.misfit:6.2f} nats a piece, KL {score.kl:5.1f}: {score.text}")
        odd = sorted(score.pieces, key=lambda piece: -piece.surprisal)[:3]
        # sentencepiece writes the space before a word as U+2581.
        pieces = [(piece.replace("\u2581", "_"), nats) for piece, nats in odd]
        print("       " + ", ".join(f"{piece} {nats:.1f}" for piece, nats in pieces))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
