"""The collapse guard: says in words when and why a latent is dying, and what is done about it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from seqvae.config import Experiment
from seqvae.config_speech import Speech
from seqvae.objectives import LevelRates, RateTarget

Mode = Literal["remedy", "warn", "off"]
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


@dataclass(frozen=True)
class Finding:
    """What is wrong with a model.

    Attributes:
        problem: short name.
        words: the numbers, and why they are bad.
        remedy: what would help, or None where only the user can act.
        cure: the same in words.
    """

    problem: str
    words: str
    remedy: Remedy | None
    cure: str


class Guard(ABC):
    """Watches validations.

    Args:
        mode: remedy, warn or off.
        patience: progress of the run before it judges: every run starts with a silent latent.
    """

    def __init__(self, mode: Mode, patience: float = 0.15) -> None:
        self.mode, self.patience = mode, patience
        self.applied: list[Remedy] = []
        self.since = 0.0
        self.last: str | None = None

    @abstractmethod
    def examine(self, seen: dict[str, Any]) -> Finding | None:
        """What is wrong at a validation, or None."""

    def judge(self, seen: dict[str, Any], progress: float) -> Verdict:
        """Judge a validation.

        Args:
            seen: what it measured.
            progress: part of the run that is done.
        """
        if self.mode == "off" or progress < self.since + self.patience:
            return Verdict(None, "")
        found = self.examine(seen)
        if found is None:
            self.last = None
            return Verdict(None, "")
        again, self.last = self.last == found.problem, found.problem
        words = f"{found.problem}: {found.words}"
        if found.remedy is None:
            # Advice is given once, not at every validation until the end.
            return Verdict(None if again else found.problem, f"{words}; {found.cure}")
        if self.mode == "warn":
            return Verdict(found.problem, words + "; only a warning, as told")
        if not again:
            return Verdict(found.problem, words + "; acts if the next validation says the same")
        if found.remedy in self.applied:
            return Verdict(found.problem, words + "; its remedy is already in force")
        self.applied.append(found.remedy)
        self.since = progress
        return Verdict(found.problem, f"{words}; remedy: {found.cure}", found.remedy)

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"applied": self.applied, "since": self.since, "last": self.last}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.applied, self.since = list(state["applied"]), state["since"]
        self.last = state["last"]


@final
class CollapseGuard(Guard):
    """Watches the validations of a text model: kl, mi, mi_cap, prior_gap (nats), active_units, dimensions.

    Args:
        mode: see `Guard`.
        aggregate: whether the objective compares all posteriors together with the prior: their KL is then not
            what silenced z, and to hold it at a rate would be another objective, not a remedy.
    """

    def __init__(self, mode: Mode, *, aggregate: bool = False) -> None:
        super().__init__(mode)
        self.aggregate = aggregate

    def examine(self, seen: dict[str, Any]) -> Finding | None:
        """See `Guard.examine`."""
        kl, mi, gap = seen["kl"], seen["mi"], seen["prior_gap"]
        told = (
            f"KL {kl:.2f} nats, MI {mi:.2f} (cap {seen['mi_cap']:.2f}), "
            f"{seen['active_units']:.0f} of {seen['dimensions']:.0f} units active, prior gap {gap:.2f}"
        )
        uninformed = mi < LEAST_PART * min(kl, seen["mi_cap"])
        if self.aggregate and (kl < DEAD_NATS or uninformed):
            return Finding("collapsed", f"{told}; {_MATCHED_SINGLY}", None, _WEIGHT_CURE)
        if kl < DEAD_NATS:
            return Finding("collapsed", f"{told}; {_COLLAPSED}", "rate_target", RATE_CURE)
        if uninformed:
            words = f"{told}; {_UNINFORMED}"
            return Finding("KL without information", words, "word_dropout", _DROPOUT_CURE)
        if gap < LEAST_PART * min(kl, seen["mi_cap"]):
            words = f"{told}; sentences cost almost the same with a z that is not theirs"
            return Finding("decoder ignores z", words, "word_dropout", _DROPOUT_CURE)
        return None


def rate_remedy(experiment: Experiment) -> RateTarget | LevelRates:
    """What replaces a run's objective after a collapse: its rate held from a low weight of the KL on."""
    if isinstance(experiment.objective, RateTarget | LevelRates):
        return replace(experiment.objective, start=LOW_START)
    if isinstance(experiment.model, Speech):
        return LevelRates(start=LOW_START)
    return RateTarget(start=LOW_START)


RATE_CURE = "from now on the weight of the KL is controlled to hold the target rate, starting low"
_DROPOUT_CURE = (
    "from now on 30 % of the decoder's input words are blanked in training, so that z is needed"
)
_COLLAPSED = (
    "the posterior equals the prior for every sentence, so z says nothing of the text: the KL term "
    "won before the decoder had learnt to use z"
)
_MATCHED_SINGLY = (
    "the posteriors of different sentences are alike: all of them together match the prior with least effort "
    "when each says nothing, and the weight of the match has won"
)
_WEIGHT_CURE = "lower --objective.weight, or blank decoder inputs with --model.word-dropout 0.3"
_UNINFORMED = (
    "KL is paid but the posteriors of different sentences are alike: a floor under the KL (free "
    "bits, batch norm) is being met without telling sentences apart"
)
