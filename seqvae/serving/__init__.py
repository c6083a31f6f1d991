"""Run an exported bundle: onnxruntime and numpy, no torch.

    from seqvae.serving import Engine

    engine = Engine("my.bundle")
    for candidate in engine.paraphrase(["the cat sat on the mat"], n=3)[0].candidates:
        print(f"{candidate.score:7.3f}  {candidate.text}")
    print(engine.interpolate("a cat", "two dogs", steps=5))
    print(engine.sample(3))
    print(engine.score(["mat the on cat"])[0].nll_iw)

`Converter("speech.bundle").convert("talk.wav", voice="mary")` does the same for speech, and
`FramesEngine("digits.bundle").reconstruct(frames)` for frames of numbers.

Names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqvae.serving.converter import Converter as Converter
    from seqvae.serving.engine import Engine as Engine
    from seqvae.serving.frames import FramesEngine as FramesEngine
    from seqvae.serving.options import Options as Options
    from seqvae.serving.options import Row as Row
    from seqvae.serving.results import Candidate as Candidate
    from seqvae.serving.results import Paraphrase as Paraphrase
    from seqvae.serving.results import Piece as Piece
    from seqvae.serving.results import Score as Score
    from seqvae.serving.results import Written as Written

_HOMES = {
    "Converter": "seqvae.serving.converter",
    "Engine": "seqvae.serving.engine",
    "FramesEngine": "seqvae.serving.frames",
    "Options": "seqvae.serving.options",
    "Row": "seqvae.serving.options",
    "Candidate": "seqvae.serving.results",
    "Paraphrase": "seqvae.serving.results",
    "Piece": "seqvae.serving.results",
    "Score": "seqvae.serving.results",
    "Written": "seqvae.serving.results",
}
__all__ = [
    "Candidate",
    "Converter",
    "Engine",
    "FramesEngine",
    "Options",
    "Paraphrase",
    "Piece",
    "Row",
    "Score",
    "Written",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (PEP 562: any public name)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'seqvae.serving' has no attribute {name!r}")
