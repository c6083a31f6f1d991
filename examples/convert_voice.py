"""Say recordings in another voice with a trained run.

    python examples/convert_voice.py RUN VOICE OUT SOUND...

VOICE is the name of a speaker of the run, or a recording of anybody where the run hears voices (the default).
Recordings may have any length, rate and format that libsndfile reads. Writes OUT/<name>.wav for each and says
what the model makes of both: the fewer nats a frame, the more a sound is like those that it was trained on.
"""

import sys
import time
from pathlib import Path

import seqvae
from seqvae.data.speech.audio import write_audio
from seqvae.errors import UserError
from seqvae.tasks.convert import Conversion


def main(run: str, voice: str, out: str, *sounds: str) -> None:
    """Convert one sound after the other."""
    model = seqvae.load(run)
    target = model.voice(voice)  # once: from a recording it is heard, which takes a moment
    # strength 1 is the target's voice, 0.5 half of the way there, above 1 a caricature.
    how = Conversion(strength=1.0, noise_scale=0.0, seed=0)

    Path(out).mkdir(parents=True, exist_ok=True)
    for name in sounds:
        began = time.perf_counter()
        converted = model.convert(name, target, how)
        seconds = time.perf_counter() - began
        place = Path(out) / f"{Path(name).stem}.wav"
        write_audio(place, converted.samples, converted.rate)
        before, after = model.score(name), model.score(converted)
        print(
            f"{place}: {converted.seconds:.1f} s, real-time factor {seconds / converted.seconds:.3f}, "
            f"{before.nats:.1f} nats a frame before, {after.nats:.1f} after"
        )


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
