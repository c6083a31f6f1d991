"""Sound of any length in another voice: in pieces that a graph computes one by one, joined without a seam.

The pieces, and how they are joined, are those of `seqvae.tasks.convert`; what computes them is given, so that
a server can put other requests' pieces in between.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seqvae.data.speech.energy import Floats
from seqvae.data.speech.loudness import PEAK
from seqvae.errors import UserError
from seqvae.export.bundle_speech import SpeechFacts
from seqvae.serving.session import Array
from seqvae.serving.sounds import Outputs, SoundRow
from seqvae.tasks.chunks import Chunking, join, windows
from seqvae.tasks.recording import Recording

HEARD = 60.0
"""Seconds of a sound that its voice is heard in; more would change little."""
CHUNKING = Chunking()
_SHORT = 0.3  # seconds of silence that stand for a sound where only a voice is asked for

Run = Callable[[SoundRow], Outputs]
"""Compute one row."""


@dataclass(frozen=True)
class How:
    """How a voice is changed.

    Raises:
        UserError: a value is out of its range.
    """

    strength: float = 1.0
    """0 keeps the source's own voice, 1 takes the wanted one, above 1 goes past it."""
    noise_scale: float = 0.0
    """Width of the content's noise."""
    seed: int = 0
    """Fixes everything random."""

    def __post_init__(self) -> None:
        rules = {
            "strength": (0 <= self.strength <= 4, "0 to 4"),
            "noise_scale": (0 <= self.noise_scale <= 10, "0 to 10"),
            "seed": (-(2**63) <= self.seed < 2**63, "a 64-bit integer"),
        }
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise UserError(f"convert: {name} is {getattr(self, name)}; it must be {wanted}")


@dataclass(frozen=True)
class Voices:
    """The voices of a bundle.

    Attributes:
        facts: of the bundle.
        named: the vector of each voice, float32 [C], by name; the first is the default.
    """

    facts: SpeechFacts
    named: Mapping[str, Floats]

    @property
    def hears(self) -> bool:
        """Whether a voice may be heard in a recording; else voices are known by name only."""
        return self.facts.style > 0

    def vector(self, name: str | None) -> Floats:
        """The vector of a voice by name; the first without.

        Raises:
            UserError: there is none of this name.
        """
        name = next(iter(self.named)) if name is None else name
        if name not in self.named:
            raise UserError(f"convert: no voice {name[:100]!r}; {self._known()}")
        return self.named[name]

    def heard(self, run: Run, recording: Recording, base: Floats | None = None) -> Floats:
        """The vector of the voice that is heard in a recording.

        Args:
            run: computes.
            recording: at the bundle's rate; its first `HEARD` seconds count.
            base: vector whose style and pitch are replaced; the default voice's without.

        Raises:
            UserError: the model knows voices by name only.
        """
        if not self.hears:
            raise UserError(f"convert: this model knows voices by name only; {self._known()}")
        rate = self.facts.rate
        end = min(recording.length, round(HEARD * rate))
        (reference,) = recording.stretches([(0, end)])
        base = self.vector(None) if base is None else base
        silence = np.zeros(round(_SHORT * rate), np.float32)
        options = {"reference": reference, "voice": base}
        vector: Floats = run(SoundRow(silence, options))["condition"]
        return vector

    def towards(self, run: Run, recording: Recording, wanted: Floats, strength: float) -> Floats:
        """The vector at `strength` of the way from the recording's own voice to the wanted one.

        Raises:
            UserError: the model knows voices by name only and `strength` is not 1.
        """
        if strength == 1.0:
            return wanted
        if not self.hears:
            raise UserError(
                f"convert: strength is {strength:g}, but this model knows voices by name only: 1 is "
                "all it can"
            )
        own = self.heard(run, recording, wanted)
        if self.facts.pitch and not (own[-1] > 0 and wanted[-1] > 0):
            own[-1] = wanted[-1]  # where one of the two is not known there is no way between them
        moved: Floats = own + np.float32(strength) * (wanted - own)
        return moved

    def _known(self) -> str:
        names = ", ".join([*self.named][:20]) + (", ..." if len(self.named) > 20 else "")
        return f"it has {names}"


def pieces(
    run: Run, facts: SpeechFacts, recording: Recording, voice: Floats, how: How
) -> Iterator[Floats]:
    """The recording in another voice, float32 [n] each at the bundle's rate; as long as it is.

    Args:
        run: computes a piece; at most `CHUNKING.seconds` of sound.
        facts: of the bundle.
        recording: what is said; silence stays silent.
        voice: its vector [C].
        how: `strength` is in the vector already.
    """
    if recording.silent:
        yield from (np.zeros(len(block), np.float32) for block in recording.blocks())
        return
    step, rate = facts.step, facts.rate
    overlap = max(round(CHUNKING.overlap * rate / step), 1)
    longest = max(round(CHUNKING.seconds * rate / step), 2 * overlap)
    cuts = windows(-(-recording.length // step), longest, overlap)
    stretches = recording.stretches([(begin * step, end * step) for begin, end in cuts])
    fixed: dict[str, Array] = {
        "voice": voice,
        # Loudness is that of the whole recording, which no piece knows.
        "gain": np.ones(1, np.float32),
        "noise_scale": np.array([how.noise_scale], np.float32),
        "seed": np.array([how.seed], np.int64),
    }

    def spoken() -> Iterator[Floats]:
        for (begin, _), samples in zip(cuts, stretches, strict=True):
            options = {**fixed, "first": np.array([begin], np.int64)}
            yield run(SoundRow(samples, options))["converted"]

    fade = min(round(CHUNKING.fade * rate), overlap * step // 2)
    left = recording.length
    for piece in join(spoken(), overlap * step, fade):
        kept = piece[:left]
        left -= len(kept)
        yield np.clip(kept / np.float32(recording.gain), -PEAK, PEAK)
