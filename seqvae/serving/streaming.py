"""A text given out piece by piece, as it is written."""

from collections.abc import Iterator, Sequence

import numpy as np

from seqvae.data.text import BOS, EOS
from seqvae.serving.choose import choose
from seqvae.serving.core import Array, Core
from seqvae.serving.options import Options, Row
from seqvae.serving.philox import token_uniforms
from seqvae.serving.stepper import Stepper
from seqvae.serving.tokens import Ids


def stream(core: Core, stepper: Stepper, z: Array | None, options: Options) -> Iterator[str]:
    """The text of z [D] in parts that, joined, are the text that `generate` writes.

    A character of several bytes comes whole.

    Args:
        core: the model.
        stepper: its decoder; nobody else's until the iterator ends.
        z: None for a language model.
        options: how tokens are chosen, without a beam.
    """
    # One less than the model's limit: what is written can be read again behind its start token.
    limit = min(options.max_length, core.facts.max_length - 1)
    uniforms = token_uniforms(options.seed, options.sample, limit)
    stepper.start(None if z is None else z[None], limit)
    text, ids, token = "", [], BOS
    for position in range(limit):
        logits = stepper.step(np.array([[token]], np.int64), position)
        token = choose(logits[0], options, float(uniforms[position]))
        if token == EOS:
            break
        ids.append(token)
        settled = ids[: len(ids) - unsettled(ids, core.facts.pieces)]
        part, text = _addition(core, settled, text)
        if part:
            yield part
    part, text = _addition(core, ids, text)
    if part:
        yield part


def whole(core: Core, row: Row) -> Iterator[str]:
    """The text of a row in one part: a beam decides its first token last."""
    text = core.generate([row])[0].text
    if text:
        yield text


def unsettled(ids: Sequence[int], pieces: Sequence[str]) -> int:
    """How many of the last ids are bytes of a character that is not complete yet."""
    tail: list[int] = []
    for token in reversed(ids[-3:]):  # three bytes at most wait for their last
        byte = byte_of(pieces[token])
        if byte is None:
            break
        tail.insert(0, byte)
    for waiting in range(len(tail), 0, -1):
        lead, *rest = tail[-waiting:]
        wanted = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4
        if 0xC2 <= lead < 0xF5 and waiting < wanted and all(0x80 <= b < 0xC0 for b in rest):
            return waiting
    return 0


def byte_of(piece: str) -> int | None:
    """The value of a byte piece such as <0xE6>; None for any other piece."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return int(piece[3:5], 16)
    return None


def _addition(core: Core, ids: Ids, text: str) -> tuple[str, str]:
    """What `ids` say beyond `text`, and the whole."""
    whole_text = core.texts.decode([ids])[0]
    return whole_text[len(text) :], whole_text
