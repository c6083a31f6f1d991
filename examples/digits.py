"""Train a VAE on handwritten digits as sequences of rows, write new ones, and find a digit it has never seen.

    pip install 'seqvae[digits]'
    python examples/digits.py FOLDER [UNSEEN] [STEPS]

Prepares scikit-learn's 1797 digits in FOLDER without the digit UNSEEN (9), trains for STEPS steps (1000, 20 seconds
on one core), writes samples.png, and says how well -log p(x) and the error of reconstruction tell UNSEEN
from the digits it knows.
"""

import sys
from dataclasses import replace
from pathlib import Path

from seqvae.data.frames.digits import PrepareDigits, prepare_digits
from seqvae.errors import UserError
from seqvae.likelihoods import Normal
from seqvae.preset_frames import frames_preset
from seqvae.tasks.auroc import auroc
from seqvae.tasks.picture import contact_sheet, in_rows, write_picture
from seqvae.training import load_frames, train


def main(folder: str, unseen: str = "9", steps: str = "1000") -> None:
    """Prepare, train, sample and judge."""
    work = Path(folder)
    corpus = prepare_digits(PrepareDigits(out=work / "digits", unseen=(unseen,), test=0.2))
    base = frames_preset("tiny")
    # A learned scale for every pixel: squared error alone would blur.
    networks = replace(base.frames, likelihood=Normal())
    settings = replace(base.training, steps=int(steps))
    run = work / "run"
    train(replace(base, data=str(corpus.path), run=str(run), model=networks, training=settings))

    model = load_frames(run)
    write_picture(work / "samples.png", contact_sheet(in_rows(model.sample(50, seed=1), 10)))

    test = corpus.split("test")
    scores = model.score([test.sequence(i) for i in range(len(test))], samples=20)
    is_unseen = test.labels == corpus.labels.index(unseen)
    print(f"{work / 'samples.png'}: 50 new digits")
    assert scores.squared_error is not None  # there is a latent
    for name, found in (("nats", scores.nll_iw), ("squared error", scores.squared_error)):
        area = auroc(found[~is_unseen].tolist(), found[is_unseen].tolist())
        print(f"AUROC of {unseen}, never seen, by {name}: {area:.3f}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, OSError) as error:
        sys.exit(str(error))
