"""The guard of speech runs: whether content and style carry what they should, and only that."""

from typing import Any, final

from seqvae.latent import STYLE
from seqvae.objectives import LevelRates, ObjectiveChoice
from seqvae.training.guard import DEAD_NATS, RATE_CURE, Finding, Guard, Mode, Remedy

# Bit/s below which nothing of what is said can be in the content: a language's phonemes, one after the
# other, are about 50 bit/s.
DEAD_BITS = 20.0
# Of the content's nats, the part that the decoder must be seen to use.
LEAST_PART = 0.1
# Of the way from chance to certainty, the part at which a probe is taken to know who speaks.
TELLING = 0.8


@final
class SpeechGuard(Guard):
    """Watches the validations of a speech model.

    Args:
        mode: remedy, warn or off.
        objective: of the run.
        voices: speakers in the data: one voice needs no style.
    """

    def __init__(self, mode: Mode, objective: ObjectiveChoice, voices: int) -> None:
        super().__init__(mode)
        self.controlled = isinstance(objective, LevelRates)
        self.voices = voices

    def examine(self, seen: dict[str, Any]) -> Finding | None:
        """See `Guard.examine`; `seen` is of a `SpeechValidation`."""
        return self._content(seen) or self._style(seen) or self._leak(seen)

    def _content(self, seen: dict[str, Any]) -> Finding | None:
        rate, gap = seen["bit_rate"], seen["prior_gap"]
        told = (
            f"content {rate:.1f} bit/s, {seen['active_units']:.0f} of {seen['dimensions']:.0f} units "
            f"active, prior gap {gap:.2f} nats a frame"
        )
        if rate < DEAD_BITS:
            words = (
                f"{told}; what is said has to be in the content, and there is next to nothing in it"
            )
            return Finding("content collapsed", words, "rate_target", RATE_CURE)
        if gap < LEAST_PART * seen["content_frame"]:
            words = f"{told}; the decoder writes almost the same from content that was never said"
            cure = (
                "train longer, or lower the learning rate if the loss jumps; if it stays so, raise "
                "--model.content.width"
            )
            return Finding("decoder ignores content", words, None, cure)
        return None

    def _style(self, seen: dict[str, Any]) -> Finding | None:
        if STYLE not in seen or self.voices < 2 or seen[STYLE] >= DEAD_NATS:
            return None
        words = (
            f"style {seen[STYLE]:.2f} nats, {seen['style_active_units']:.0f} of "
            f"{seen['style_dimensions']:.0f} units active; the voice has to be in the style: what is not "
            "there is taken from the content, so a conversion would keep the source's voice"
        )
        remedy: Remedy | None = None if self.controlled else "rate_target"
        cure = RATE_CURE
        if self.controlled:
            cure = (
                "the weight of its KL is as low as it may be already: give the content less "
                "(a lower --rate), or the speakers rows of a table (--model.speakers both)"
            )
        return Finding("style collapsed", words, remedy, cure)

    def _leak(self, seen: dict[str, Any]) -> Finding | None:
        if "leak" not in seen:
            return None
        leak, chance = seen["leak"], seen["leak_chance"]
        if leak - chance < TELLING * (1.0 - chance):
            return None
        words = (
            f"a linear probe names the speaker from the content of {leak:.0%} of the recordings (chance "
            f"{chance:.0%}), of {seen['leak_frame']:.0%} of single vectors; a conversion may keep some of "
            "the source's voice"
        )
        cure = (
            "if conversions sound like their source, use a lower --rate, more --model.warp (0.3), or "
            "fewer cepstral coefficients (--model.content.smooth 16)"
        )
        return Finding("content tells the speaker", words, None, cure)
