"""The collapse guard of runs on frames."""

from dataclasses import replace
from typing import Any, final

from seqvae.training.guard import CollapseGuard, Finding, Guard, Mode


@final
class FramesGuard(Guard):
    """Watches the validations of a model of frames, with the thresholds of `CollapseGuard`.

    Args:
        mode: see `Guard`.
        autoregressive: whether the decoder reads frames, which can be hidden from it.
        aggregate: see `CollapseGuard`.
    """

    def __init__(self, mode: Mode, *, autoregressive: bool, aggregate: bool = False) -> None:
        super().__init__(mode)
        self.autoregressive = autoregressive
        self.of_text = CollapseGuard(mode, aggregate=aggregate)

    def examine(self, seen: dict[str, Any]) -> Finding | None:
        """See `Guard.examine`."""
        found = self.of_text.examine(seen)
        if found is None:
            return None
        words = found.words.replace("sentence", "sequence").replace("of the text", "of the frames")
        found = replace(found, words=words)
        if found.remedy != "word_dropout":
            return found
        if self.autoregressive:
            return replace(found, cure=_HIDDEN_CURE)
        # Such a decoder reads no frames: nothing can be hidden from it.
        return replace(found, remedy=None, cure=_ADVICE)


_HIDDEN_CURE = "from now on 30 % of the frames that the decoder reads are hidden in training, so that z is needed"
_ADVICE = "leave out free bits and batch norm, or train with --rate"
