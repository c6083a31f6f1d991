"""`Converter`: the user's handle on a bundle of speech, as `seqvae.tasks.SpeechModel` is on a trained model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from seqvae.data.speech.audio import Sound, import_soundfile
from seqvae.data.speech.energy import Floats
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import MODEL
from seqvae.export.bundle_sounds import read_sounds, read_voices
from seqvae.serving import converting, runtime
from seqvae.serving.converting import How, Voices
from seqvae.serving.golden_sound import FAR, NEAR, check_golden_sounds
from seqvae.serving.resample import resample
from seqvae.serving.session import Sessions
from seqvae.serving.sound_tensors import Tensors, tensors_of
from seqvae.serving.sounds import Outputs, SoundRow, run_rows
from seqvae.tasks.recording import Recording

SERVED = (MODEL, "score")
"""Graphs that take sound and options, and that `run` may be asked for."""

SoundLike = str | Path | Sound


class Converter:
    """An open bundle of speech. Every method may be called from several threads at once.

    Args:
        bundle: the folder, or an open one.
        variant: one of the bundle's; by default its own choice.
        provider: where to compute; `auto` takes a GPU where there is one.
        threads: for one operator; None: one for each core.
        verify: compare every file's sha256 before it is used.

    Attributes:
        bundle: the open bundle.
        variant: in use.
        provider: where it computes.
        rate: samples per second of what comes out, Hz.

    Raises:
        UserError: the bundle is damaged or of something else, an argument is wrong, or a package is missing.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        variant: str | None = None,
        provider: runtime.Provider = "auto",
        threads: int | None = None,
        verify: bool = True,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, verify=verify)
        facts = self.bundle.speech
        if facts is None:
            other = "FramesEngine" if self.bundle.kind == "frames" else "Engine"
            raise UserError(
                f"{self.bundle.path} is a bundle of {self.bundle.kind}; use seqvae.serving.{other} for it"
            )
        import_soundfile()
        self._voices = Voices(facts, read_voices(self.bundle))
        self.rate, self.facts = facts.rate, facts
        self.variant = variant or self.bundle.default_variant
        self.provider = runtime.resolve(provider)
        parts = [part for part in self.bundle.variant(self.variant).parts if part in SERVED]
        paths = {part: self.bundle.part(self.variant, part) for part in parts}
        self._sessions = Sessions(paths, provider=self.provider, threads=threads)

    @property
    def voices(self) -> tuple[str, ...]:
        """Names that `convert` takes; the first is its default."""
        return tuple(self._voices.named)

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

        A long sound is computed in pieces of 30 s, so that memory grows by its samples only.

        Args:
            source: a sound or its file, of any length, rate and number of channels.
            voice: a name among `voices`, or a sound of the voice or its file where the model hears voices; by
                default the first of `voices`.
            strength: 0 keeps the source's own voice, 1 takes the wanted one; other than 1 only where the
                model hears voices.
            noise_scale: width of the content's noise.
            seed: fixes everything random.

        Returns:
            Mono, at the bundle's rate, as long as the source.

        Raises:
            UserError: no such voice or file, a sound is too short, or a value is out of its range.
        """
        how = How(strength, noise_scale, seed)
        recording = self.recording(source)
        if voice is None or (isinstance(voice, str) and voice in self._voices.named):
            wanted = self._voices.vector(voice)
        elif isinstance(voice, str | Path) and not Path(voice).is_file():
            names = ", ".join(self.voices[:20]) + (", ..." if len(self.voices) > 20 else "")
            raise UserError(f"convert: {str(voice)!r} is neither a file nor a voice ({names})")
        else:
            wanted = self._voices.heard(self._one, self.recording(voice))
        wanted = self._voices.towards(self._one, recording, wanted, strength)
        parts = converting.pieces(self._one, self.facts, recording, wanted, how)
        return Sound(np.concatenate([np.zeros(0, np.float32), *parts]), self.rate)

    def recording(self, source: SoundLike | bytes, *, longest: float | None = None) -> Recording:
        """A sound as the model reads it, at its rate.

        Args:
            source: a sound, its file, or the content of one.
            longest: seconds it may last.

        Raises:
            UserError: it cannot be used.
        """
        return Recording(source, self.facts.mel, longest=longest, resample=resample)

    def vectors(self) -> Voices:
        """The voices with their vectors."""
        return self._voices

    def run(self, rows: Sequence[SoundRow]) -> list[Outputs]:
        """What the graphs make of rows; those of one length and kind are computed side by side."""
        return run_rows(self._sessions, rows, self.rate)

    def tensors(self) -> Mapping[str, Tensors]:
        """What goes in and out of each graph that `run` knows."""
        served = self.bundle.variant(self.variant).parts
        return {part: tensors_of(self._sessions.session(part)) for part in served if part in SERVED}

    def warm_up(self) -> None:
        """Open every graph and run it once, so that the first request waits for nothing."""
        silence: Floats = np.zeros(self.rate, np.float32)
        self.run([SoundRow(silence, part=part) for part in self.tensors()])

    def check_golden(self) -> None:
        """Compare with the sounds stored at export.

        Raises:
            UserError: too many differ; names the worst.
        """
        least = NEAR if self.provider == "cpu" else FAR
        check_golden_sounds(self.run, read_sounds(self.bundle), self.variant, least)

    def close(self) -> None:
        """Give back the memory of the graphs; a later call opens them again."""
        self._sessions.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _one(self, row: SoundRow) -> Outputs:
        (outputs,) = self.run([row])
        return outputs
