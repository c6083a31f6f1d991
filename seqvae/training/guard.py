"""The collapse guard: says in words when and why a latent is dying, and what is done about it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from seqvae.objectives import ObjectiveChoice, RateTarget

Remedy = Literal["rate_target", "word_dropout"]

# Below this much KL a sentence's latent cannot tell two classes of equal size apart (ln 2 = 0.69).
DEAD_NATS = 0.5
# Of the KL, the part that must be information (MI) and be used by the decoder (prior gap).
LEAST_PART = 0.25
# First beta of the rate remedy: a tenth of the usual start, as the usual start has just failed.
LOW_START = 0.01


@dataclass(frozen=True)
class Verdict:
    """What the guard found at one validation.

    Attributes:
        problem: short name, or None when all is well.
        words: what is wrong, why we think so, and what is done.
        remedy: what the trainer shall do, or None.
    """

    problem: str | None
    words: str
    remedy: Remedy | None = None


class CollapseGuard:
    """Watches validations.

    Args:
        mode: remedy, warn or off.
        patience: progress of the run before it judges: every run starts with a silent latent.
    """

    def __init__(self, mode: Literal["remedy", "warn", "off"], patience: float = 0.15) -> None:
        self.mode, self.patience = mode, patience
        self.applied: list[Remedy] = []
        self.since = 0.0
        self.last: str | None = None

    def judge(self, seen: dict[str, float], progress: float) -> Verdict:
        """Judge a validation.

        Args:
            seen: kl, mi, mi_cap, prior_gap (nats), active_units, dimensions.
            progress: part of the run that is done.
        """
        if self.mode == "off" or progress < self.since + self.patience:
            return Verdict(None, "")
        kl, mi, gap = seen["kl"], seen["mi"], seen["prior_gap"]
        told = (
            f"KL {kl:.2f} nats, MI {mi:.2f} (cap {seen['mi_cap']:.2f}), "
            f"{seen['active_units']:.0f} of {seen['dimensions']:.0f} units active, prior gap {gap:.2f}"
        )
        if kl < DEAD_NATS:
            problem, why = (
                "collapsed",
                _COLLAPSED,
            )
            remedy: Remedy = "rate_target"
            cure = "from now on the weight of the KL is controlled to hold the target rate, starting low"
        elif mi < LEAST_PART * min(kl, seen["mi_cap"]):
            problem, why = (
                "KL without information",
                _UNINFORMED,
            )
            remedy, cure = "word_dropout", _DROPOUT_CURE
        elif gap < LEAST_PART * min(kl, seen["mi_cap"]):
            problem, why = (
                "decoder ignores z",
                "sentences cost almost the same with a z that is not theirs",
            )
            remedy, cure = "word_dropout", _DROPOUT_CURE
        else:
            self.last = None
            return Verdict(None, "")
        again, self.last = self.last == problem, problem
        words = f"{problem}: {told}; {why}"
        if self.mode == "warn":
            return Verdict(problem, words + "; only a warning, as told")
        if not again:
            return Verdict(problem, words + "; acts if the next validation says the same")
        if remedy in self.applied:
            return Verdict(problem, words + "; its remedy is already in force")
        self.applied.append(remedy)
        self.since = progress
        return Verdict(problem, f"{words}; remedy: {cure}", remedy)

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"applied": self.applied, "since": self.since, "last": self.last}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.applied, self.since = list(state["applied"]), state["since"]
        self.last = state["last"]


def rate_remedy(objective: ObjectiveChoice) -> RateTarget:
    """What replaces `objective` after a collapse: its rate held from a low weight of the KL on."""
    if isinstance(objective, RateTarget):
        return replace(objective, start=LOW_START)
    return RateTarget(start=LOW_START)


_DROPOUT_CURE = (
    "from now on 30 % of the decoder's input words are blanked in training, so that z is needed"
)
_COLLAPSED = (
    "the posterior equals the prior for every sentence, so z says nothing of the text: the KL term "
    "won before the decoder had learnt to use z"
)
_UNINFORMED = (
    "KL is paid but the posteriors of different sentences are alike: a floor under the KL (free "
    "bits, batch norm) is being met without telling sentences apart"
)
