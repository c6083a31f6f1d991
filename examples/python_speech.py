"""Change the voice of a WAV file with onnxruntime alone: neither seqvae nor torch is imported.

    python examples/python_speech.py BUNDLE SOURCE.wav RESULT.wav [VOICE]

The model takes sound and gives sound, mono float32 at its own rate; filters, networks and vocoder are inside.
SOURCE has 16 bits; one of another rate or kind goes through `ffmpeg -i SOURCE -ac 1 -ar 16000 OUT.wav` first.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime


def main(bundle: str, source: str, result: str, voice: str = "") -> None:
    """Convert one file."""
    facts = json.loads((Path(bundle) / "seqvae.json").read_text(encoding="utf-8"))
    rate, voices = facts["speech"]["mel"]["sample_rate"], facts["labels"]
    if voice and voice not in voices:
        sys.exit(f"no voice {voice}; there are {', '.join(voices)}")

    with wave.open(source) as file:
        if (file.getsampwidth(), file.getframerate()) != (2, rate):
            sys.exit(f"{source} must have 16 bits and {rate} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        audio = samples.reshape(-1, file.getnchannels()).mean(1, dtype=np.float32) / 32768

    options = onnxruntime.SessionOptions()
    # Inputs with defaults are worth a warning each to onnxruntime.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        Path(bundle) / facts["default_variant"] / "model.onnx", options
    )
    speaker = np.array([[voices.index(voice) if voice else 0]])
    # A sound a row; at most a minute at once: a second takes 20 MB.
    (converted,) = session.run(["converted"], {"audio": audio[None], "speaker": speaker})

    with wave.open(result, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.rint(32767 * converted[0]).astype("<i2").tobytes())
    print(f"{result}: {len(audio) / rate:.1f} s in the voice of {voices[speaker.item()]}")


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
