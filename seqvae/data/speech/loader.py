"""Crops of recordings for training, at an exactly resumable position."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqvae.data.speech.pitch import pitch_contour
from seqvae.errors import UserError

if TYPE_CHECKING:
    from seqvae.data.speech.store import SpeechStore

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RawFrames:
    """A batch of crops, zeros behind recordings that are shorter.

    Attributes:
        values: natural log-mel frames [B, T, mels], float32.
        lengths: frames of each crop [B], int64.
        speakers: [B], int64.
        pitch: see `seqvae.data.speech.pitch.pitch_contour`, of the whole recording, [B, T, 3], float32.
        indices: recordings, positions in the store [B], int64.
        offsets: first frame of each crop [B], int64.
        spans: frames of the recording that it covers [B], int64: `lengths` but for the tempo.
        audio: samples [B, T * hop], float32, or None.
    """

    values: Floats
    lengths: Longs
    speakers: Longs
    pitch: Floats
    indices: Longs
    offsets: Longs
    spans: Longs
    audio: Floats | None


class CropLoader:
    """Endless batches of crops; every frame of the split is as likely as any other.

    The k-th batch follows from (seed, rank, k) alone.

    Args:
        store: the recordings.
        frames: T, length of a crop.
        batch: B, crops in a batch of one rank.
        seed: of the crops.
        rank: this process.
        world: number of processes.
        tempo: crops are faster or slower by up to this part, their pitch kept, drawn for each.
        audio: also load the samples; not with a tempo.

    Raises:
        UserError: nothing to load.
    """

    def __init__(
        self,
        store: "SpeechStore",
        *,
        frames: int,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        tempo: float = 0.0,
        audio: bool = False,
    ) -> None:
        if tempo and audio:
            raise ValueError("samples do not change their tempo")
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world}")
        if not len(store):
            raise UserError("no recording to load: the split is empty")
        self.store = store
        self.frames, self.batch, self.seed, self.rank = frames, batch, seed, rank
        self.tempo, self.audio = tempo, audio
        total = int(store.frames.sum())
        self._share = np.cumsum(store.frames) / total
        self.steps_per_epoch = max(1, round(total / (frames * batch * world)))
        self._identity = {
            "recordings": len(store),
            "frames": frames,
            "batch": batch,
            "seed": seed,
            "world": world,
            "tempo": tempo,
        }
        self.step = 0

    def next_batch(self) -> RawFrames:
        """Return the next batch and move on."""
        batch = self.draw(self.step)
        self.step += 1
        return batch

    def draw(self, step: int) -> RawFrames:
        """The batch of a step."""
        generator = np.random.default_rng([self.seed, self.rank, step])
        places = generator.random(self.batch)
        indices = np.minimum(np.searchsorted(self._share, places, "right"), len(self.store) - 1)
        there = self.store.frames[indices].astype(np.int64)
        tempo = 1.0 + self.tempo * generator.uniform(-1.0, 1.0, self.batch)
        spans = np.minimum(there, np.rint(self.frames * tempo).astype(np.int64))
        offsets = (generator.random(self.batch) * (there - spans + 1)).astype(np.int64)
        lengths = np.rint(spans / tempo).astype(np.int64).clip(1, self.frames)
        hop, mels = self.store.settings.hop, self.store.settings.mels
        values = np.zeros((self.batch, self.frames, mels), np.float32)
        pitch = np.zeros((self.batch, self.frames, 3), np.float32)
        audio = np.zeros((self.batch, self.frames * hop), np.float32) if self.audio else None
        for row, (index, start, span) in enumerate(zip(indices, offsets, spans, strict=True)):
            place, size = (int(index), int(start), int(span)), int(lengths[row])
            values[row, :size] = played(self.store.mel(*place), size)
            # Of the whole recording: its mean is the voice's, that of a crop is the sentence's.
            contour = pitch_contour(self.store.pitch(int(index)))[start : start + span]
            pitch[row, :size] = contour[np.rint(np.linspace(0, span - 1, size)).astype(int)]
            if audio is not None:
                audio[row, : size * hop] = self.store.audio(*place)
        return RawFrames(
            values=values,
            lengths=lengths,
            speakers=self.store.speaker[indices].astype(np.int64),
            pitch=pitch,
            indices=indices.astype(np.int64),
            offsets=offsets,
            spans=spans,
            audio=audio,
        )

    def state(self) -> dict[str, Any]:
        """Return the exact position, as JSON values."""
        return {"step": self.step, **self._identity}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue at a position saved by a loader with the same settings.

        Raises:
            UserError: the state is of another corpus, crop, batch, seed or number of processes.
        """
        for key, value in self._identity.items():
            if state.get(key) != value:
                raise UserError(
                    f"cannot resume the loader: {key} was {state.get(key)} and is now {value}"
                )
        self.step = int(state["step"])


def played(frames: Floats, size: int) -> Floats:
    """Frames [n, F] in `size` frames, between two interpolated linearly: faster or slower speech."""
    count = len(frames)
    if count == size:
        return frames
    place = np.linspace(0.0, count - 1.0, size)
    first = np.minimum(place.astype(int), max(count - 2, 0))
    share = (place - first)[:, None].astype(np.float32)
    found: Floats = frames[first] * (1 - share) + frames[np.minimum(first + 1, count - 1)] * share
    return found
