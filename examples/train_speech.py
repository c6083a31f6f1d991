"""Train a speech VAE on recordings of several voices, and hear one say what another said.

    python examples/train_speech.py VOICES RUN [RATE [STEPS [VOCODER_STEPS]]]

VOICES is a folder with a folder of recordings for each speaker (or LJSpeech, VCTK, LibriTTS, ARCTIC). Writes
the corpus to RUN-data, the run to RUN, its vocoder to RUN/vocoder and sounds to RUN/heard; started again with the
same arguments it goes on where it was stopped. RATE is the one dial: bit/s that the content shall carry (default
800). With too few words get lost; with too many it carries the voice too, which then cannot be changed.
"""

import sys
from dataclasses import replace
from pathlib import Path

import seqvae
from seqvae.data.speech.audio import Sound, write_audio
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from seqvae.errors import UserError
from seqvae.evaluation.speech import evaluate_speech, format_speech
from seqvae.preset_speech import speech_preset
from seqvae.training import train
from seqvae.training.vocoder import train_vocoder
from seqvae.training.vocoder_config import VocoderExperiment


def main(
    voices: str, run: str, rate: str = "800", steps: str = "12000", vocoder_steps: str = "4000"
) -> None:
    """Prepare, train a model and its vocoder, evaluate, and convert between the voices."""
    corpus = prepare_speech(PrepareSpeech(inputs=(voices,), out=Path(f"{run}-data")))

    experiment = speech_preset("tiny", rate=float(rate))
    training = replace(experiment.training, steps=int(steps))
    train(replace(experiment, data=str(corpus.path), run=run, training=training))

    vocoder = VocoderExperiment(data=str(corpus.path), out=f"{run}/vocoder")
    train_vocoder(replace(vocoder, training=replace(vocoder.training, steps=int(vocoder_steps))))

    model = seqvae.load(run)
    print(format_speech(evaluate_speech(model, corpus, "test", limit=0)))

    test, heard = corpus.split("test"), Path(run) / "heard"
    heard.mkdir(exist_ok=True)
    for index in range(min(3, len(test))):
        source = Sound(test.audio(index), corpus.settings.sample_rate)
        write_audio(heard / f"{index}.wav", source.samples, source.rate)
        for name in corpus.train_speakers[:4]:
            sound = model.convert(source, name)
            write_audio(heard / f"{index}-as-{name}.wav", sound.samples, sound.rate)
    print(f"{heard}: what was said, and who might have said it")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 6:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
