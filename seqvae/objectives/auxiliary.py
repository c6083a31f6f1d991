"""What text training adds to any objective, apart from the bound: which of it goes with what."""

from seqvae.errors import UserError
from seqvae.objectives import Importance, ObjectiveChoice


def check_auxiliary(
    bag_of_words: float, fraternal: float, word_dropout: float, dropout: float
) -> None:
    """Refuse weights that reward an error, and two passes that cannot differ.

    Args:
        bag_of_words: weight of the bag-of-words loss.
        fraternal: weight of the difference of two passes.
        word_dropout: probability that an input is blanked.
        dropout: the decoder's.

    Raises:
        UserError: names the flags and what to do.
    """
    for flag, value in (("bag-of-words", bag_of_words), ("fraternal", fraternal)):
        if not 0.0 <= value < float("inf"):
            raise UserError(
                f"--model.{flag} is a weight in the loss, 0 (off) or more; got {value:g}"
            )
    if fraternal and not (word_dropout or dropout):
        raise UserError(
            f"--model.fraternal {fraternal:g} and --model.word-dropout 0 with --model.decoder.dropout 0 do not "
            "go together: nothing is dropped, so that the two passes are one; use --model.word-dropout 0.2, or "
            "leave out --model.fraternal"
        )


def check_auxiliary_of(
    bag_of_words: float, fraternal: float, objective: ObjectiveChoice, *, latent: bool
) -> None:
    """Refuse a bag of words where there is no z to say it, and two passes whose z learns by another rule.

    Raises:
        UserError: names the flags and what to do.
    """
    if bag_of_words and not latent:
        raise UserError(
            f"--model.bag-of-words {bag_of_words:g} and --latent none do not go together: a language model has "
            "no z that could say which words there are; leave out one of the two"
        )
    if fraternal and isinstance(objective, Importance) and objective.gradient == "dreg":
        raise UserError(
            f"--model.fraternal {fraternal:g} and --objective.gradient dreg do not go together: dreg weighs all "
            "that comes back to z by the samples' importance, which the difference of two passes has no part "
            "in; use --objective.gradient stl or naive"
        )
