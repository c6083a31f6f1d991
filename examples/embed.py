"""Search a file of sentences by meaning: the lines whose vectors lie nearest to a question's.

    python examples/embed.py RUN LINES.txt QUESTION...

Writes the vectors beside the lines, LINES.parquet, once; `seqvae embed` does the same. Likeness is
the cosine of vectors from which the mean of all lines is taken: what every line shares says nothing.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import seqvae
from seqvae.errors import UserError
from seqvae.tasks.embed import embed_files


def main(run: str, lines: str, *questions: str) -> None:
    """Print the three nearest lines of each question."""
    model = seqvae.load(run)
    path = Path(lines).with_suffix(".parquet")
    if not path.exists():
        done = embed_files(model, [lines], path)
        print(f"{path.name}: {done.texts} vectors of {done.dimension}, skipped {done.skipped}")
    table = pq.read_table(path)
    vectors = np.stack(table["vector"].to_numpy())
    centre = vectors.mean(0)
    known = unit(vectors - centre)
    for question, near in zip(
        questions, unit(model.embed(questions) - centre) @ known.T, strict=True
    ):
        print(question)
        for row in np.argsort(-near)[:3]:
            print(f"  {near[row]:.2f}  {table['text'][int(row)]}")


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
