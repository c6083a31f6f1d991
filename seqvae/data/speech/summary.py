"""A prepared speech corpus in a few lines, for whoever has just made it."""

import numpy as np

from seqvae.data.speech.corpus import SPLITS, SpeechCorpus

# Speakers that are listed one by one.
_LISTED = 12


def summary_of(corpus: SpeechCorpus) -> str:
    """Hours, recordings and speakers of each split, and minutes of each speaker if they are few."""
    lines = [
        f"{corpus.path}: {corpus.settings.mels} mel bins, {corpus.settings.frame_rate:g} frames/s"
    ]
    minutes = np.zeros((len(SPLITS), len(corpus.speakers)))
    for number, name in enumerate(SPLITS):
        store = corpus.split(name)
        if not len(store):
            continue
        lines.append(
            f"  {name:5} {store.seconds / 3600:7.2f} h  {len(store):7,} recordings  "
            f"{len(np.unique(store.speaker)):5,} speakers"
        )
        seconds = store.frames / corpus.settings.frame_rate
        minutes[number] = np.bincount(store.speaker, seconds, len(corpus.speakers)) / 60
    if len(corpus.speakers) <= _LISTED:
        width = max(map(len, corpus.speakers))
        for number, speaker in enumerate(corpus.speakers):
            parts = ", ".join(
                f"{name} {minutes[split, number]:.1f} min"
                for split, name in enumerate(SPLITS)
                if minutes[split, number]
            )
            lines.append(f"  {speaker:{width}}  {parts}")
    left_out = corpus.meta["counts"]["left out"]
    if left_out:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        lines.append(f"  left out: {listed} (see {corpus.path / 'skipped.jsonl'})")
    return "\n".join(lines)
