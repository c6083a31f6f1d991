"""`Converter`: the user's handle on a bundle of speech, as `seqvae.tasks.SpeechModel` is on a trained model."""

import math
from pathlib import Path

import numpy as np

from seqvae.data.speech.audio import Sound, read_audio
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import MODEL, SPEECH_OPTIONS
from seqvae.export.bundle_sounds import read_voices
from seqvae.serving import runtime
from seqvae.serving.resample import resample
from seqvae.serving.session import Array, Sessions

LONGEST = 600.0
"""Most seconds of a sound: a graph computes it at once, in about 20 MB a second."""
HEARD = 60.0
"""Seconds of a reference of which more would change little."""

SoundLike = str | Path | Sound


class Converter:
    """An open bundle of speech. `convert` may be called from several threads at once.

    Args:
        bundle: the folder, or an open one.
        provider: where to compute; `auto` takes a GPU where there is one.
        threads: for one operator; None: one for each core.
        verify: compare every file's sha256 before it is used.

    Raises:
        UserError: the bundle is damaged or of text, an argument is wrong, or a package is missing.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        provider: runtime.Provider = "auto",
        threads: int | None = None,
        verify: bool = True,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, verify=verify)
        if self.bundle.speech is None:
            raise UserError(
                f"{self.bundle.path} is a bundle of text; use seqvae.serving.Engine for it"
            )
        self.rate = self.bundle.speech.rate
        self.voices = tuple(read_voices(self.bundle))
        variant = self.bundle.default_variant
        paths = {MODEL: self.bundle.part(variant, MODEL)}
        resolved = runtime.resolve(provider)
        self._sessions = Sessions(paths, provider=resolved, threads=threads)

    def convert(
        self,
        source: SoundLike,
        voice: str | SoundLike | None = None,
        *,
        strength: float = 1.0,
        noise_scale: float = 0.0,
        seed: int = 0,
    ) -> Sound:
        """What is said in `source`, said in another voice.

        Args:
            source: a sound or its file, of any rate and number of channels, up to 600 s.
            voice: a name among `voices`, or a sound of the voice or its file where the model hears voices; by
                default the first of `voices`.
            strength: 0 keeps the source's own voice, 1 takes the wanted one; other than 1 only where the
                model hears voices.
            noise_scale: width of the content's noise.
            seed: fixes everything random.

        Returns:
            Mono, at the bundle's rate, as long as the source.

        Raises:
            UserError: no such voice or file, a sound is too long or has none, or a value is out of its range.
        """
        options: dict[str, float] = {"noise_scale": noise_scale, "seed": seed}
        known = self._sessions.inputs(MODEL)
        feeds: dict[str, Array] = {"audio": self._read(source, LONGEST)[None]}
        if "strength" in known:
            options["strength"] = strength
        elif strength != 1.0:
            raise UserError(
                f"convert: strength is {strength:g}, but this model knows voices by name only: 1 is all it can"
            )
        if isinstance(voice, str) and voice in self.voices:
            options["speaker"] = self.voices.index(voice)
        elif voice is not None:
            feeds["reference"] = self._reference(voice, known)[None]
        for name, value in options.items():
            bounds = SPEECH_OPTIONS[name]
            high = math.inf if bounds.high is None else bounds.high
            if not (math.isfinite(value) and bounds.low <= value <= high):
                raise UserError(
                    f"convert: {name} is {value}; it must be {bounds.low:g} to {high:g}"
                )
            feeds[name] = np.array([[value]], np.dtype(bounds.dtype))
        converted = self._sessions.run(MODEL, feeds, ["converted"])["converted"]
        return Sound(converted[0], self.rate)

    def _reference(self, voice: SoundLike, known: frozenset[str]) -> Array:
        names = ", ".join(self.voices[:20]) + (", ..." if len(self.voices) > 20 else "")
        if isinstance(voice, str | Path) and not Path(voice).is_file():
            raise UserError(f"convert: {str(voice)!r} is neither a file nor a voice ({names})")
        if "reference" not in known:
            raise UserError(f"convert: this model knows voices by name only; it has {names}")
        return self._read(voice, math.inf)[: round(HEARD * self.rate)]

    def _read(self, sound: SoundLike, longest: float) -> Array:
        given = sound if isinstance(sound, Sound) else read_audio(sound)
        name = "the sound" if isinstance(sound, Sound) else str(sound)
        if not len(given.samples):
            raise UserError(f"convert: {name} has no samples")
        if given.seconds > longest:
            raise UserError(
                f"convert: {name} lasts {given.seconds:.0f} s, more than {longest:g} s; cut it into pieces"
            )
        if not np.isfinite(given.samples).all():
            raise UserError(f"convert: {name} holds NaN or infinity")
        return resample(given.samples.astype(np.float32), given.rate, self.rate)
