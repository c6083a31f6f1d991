"""A small corpus of made-up voices that say the same sentences."""

import json
from pathlib import Path

from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from tests.tasks.speech.sounds import RATE, babble

PITCH = {"anna": 210.0, "ben": 110.0, "cleo": 260.0}
SENTENCES = 8


def make_corpus(folder: Path, voices: int = 3) -> SpeechCorpus:
    """Recordings of 1 to 1.5 s, each sentence said by all; two prompts in validation and test each."""
    import soundfile

    rows = []
    for number in range(SENTENCES):
        seconds = 1.0 + 0.5 * number / SENTENCES
        for name in list(PITCH)[:voices]:
            path = folder / "recordings" / name / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, babble(seconds, PITCH[name], seed=number), RATE)
            text = f"made up sentence {'abcdefgh'[number]}"
            rows.append({"audio_filepath": str(path), "speaker": name, "text": text})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    config = PrepareSpeech(
        inputs=(str(manifest),), out=folder / "corpus", valid=2, test=2, trim="none", workers=1
    )
    return prepare_speech(config, say=lambda _: None)
