"""The sections that show sentences."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from seqvae.data.text import Tokenizer
from seqvae.evaluation.report.examples import (
    Examples,
    Near,
    Reconstruction,
    Rewritten,
    Spread,
    spelled,
)
from seqvae.evaluation.report.html import Html, element, join, paragraphs, section, table, text


def sentence_sections(
    found: Examples, tokenizer: Tokenizer, *, latent: bool, pairs: bool
) -> list[Html]:
    """A section for each kind of sentence that there is.

    Args:
        found: what the model wrote.
        tokenizer: the run's.
        latent: whether the model has one.
        pairs: whether the model was trained to write a pair's other side.
    """
    sections = []
    if found.reconstruction is not None:
        sections.append(_reconstructions(found.reconstruction, tokenizer, pairs=pairs))
    if found.paraphrases:
        sections.append(_paraphrases(found.paraphrases))
    if found.walks:
        sections.append(_walks(found.walks))
    if found.near:
        sections.append(_neighbours(found.near))
    sections.append(_samples(found.samples, latent=latent))
    return sections


def _reconstructions(found: Reconstruction, tokenizer: Tokenizer, *, pairs: bool) -> Html:
    summary = (
        f"{found.exact} of {found.total} validation sentences come back exactly (greedy, from the "
        f"posterior mean), BLEU {found.bleu:.1f}; {found.accuracy:.1%} of tokens are the decoder's "
        "first choice when it is given the true beginning."
    )
    if not pairs:
        rows = [(_mark(one, tokenizer, read=True), _mark(one, tokenizer)) for one in found.shown]
        return section(
            "reconstructions",
            "Written again from the latent",
            paragraphs(
                summary,
                join([
                    "Tokens that were ", element("del", "lost"), " or ", element("ins", "invented"),
                    " are marked.",
                ]),
            ),
            table("Sentences and what became of them", ["Read", "Written"], rows, stack=True),
        )  # fmt: skip
    rows_of_pairs = [
        (
            text(tokenizer.decode(one.source)),
            _mark(one, tokenizer),
            _mark(one, tokenizer, read=True),
        )
        for one in found.shown
    ]
    return section(
        "reconstructions",
        "The other side of pairs, written from the latent",
        paragraphs(summary.replace("come back", "are written"), "Differences are marked."),
        table(
            "Sentences, what was written, and what the corpus has",
            ["Read", "Written", "In the corpus"],
            rows_of_pairs,
            stack=True,
        ),
    )


def _mark(one: Rewritten, tokenizer: Tokenizer, *, read: bool = False) -> Html:
    """One side of the comparison, the tokens marked that the other does not have there."""
    matcher = SequenceMatcher(None, one.wanted, one.written, autojunk=False)
    ids, tag = (one.wanted, "del") if read else (one.written, "ins")
    parts = []
    for kind, wanted_from, wanted_to, written_from, written_to in matcher.get_opcodes():
        begin, end = (wanted_from, wanted_to) if read else (written_from, written_to)
        words = spelled(tokenizer, ids[begin:end])
        words = words.lstrip() if not begin else words
        if not words:
            continue
        if kind == "equal":
            parts.append(words)
            continue
        # The space before a word is not part of the mark.
        bare = words.lstrip(" ")
        parts += [words[: len(words) - len(bare)], element(tag, bare)]
    if not parts:
        return element("em", "(nothing)", class_="soft")
    return text(join(parts))


def _paraphrases(found: Sequence[Spread]) -> Html:
    scales = [scale for scale, _ in found[0].by_scale]
    rows = [(text(one.text), *(_bullets(lines) for _, lines in one.by_scale)) for one in found]
    return section(
        "paraphrases",
        "Paraphrases",
        paragraphs(
            "Written from around a sentence's place in the latent: mean + scale x deviation x "
            "noise. A small scale stays near, a large one strays; what the sentences have in "
            "common is what the latent says."
        ),
        table(
            "Paraphrases by noise scale",
            ["Sentence", *(f"Scale {scale:g}" for scale in scales)],
            rows,
            stack=True,
        ),
    )


def _bullets(lines: Sequence[str]) -> Html:
    if not lines:
        return element("em", "(nothing)", class_="soft")
    return element("ul", *(element("li", text(line)) for line in lines), class_="plain")


def _walks(walks: Sequence[Sequence[str]]) -> Html:
    parts = []
    for walk in walks:
        ends = {0: "from", len(walk) - 1: "to"}
        items = (
            element("li", element("b", ends[i], " ") if i in ends else "", text(line))
            for i, line in enumerate(walk)
        )
        parts.append(element("ol", *items, class_="walk"))
    return section(
        "interpolations",
        "From one sentence to another",
        paragraphs(
            "Greedy texts along the arc between two posterior means; the sentences themselves "
            "stand at the ends. Every stop should be a sentence, and change should come step by step."
        ),
        element("div", *parts, class_="pair"),
    )


def _neighbours(found: Sequence[Near]) -> Html:
    rows = [
        (
            text(one.text),
            element("ol", *(element("li", text(t)) for t in one.neighbours), class_="plain"),
        )
        for one in found
    ]
    return section(
        "neighbours",
        "What the latent holds alike",
        paragraphs(
            "The validation sentences whose posterior means lie nearest. What they share, words, "
            "length or meaning, is what the latent is about."
        ),
        table(
            "Sentences and their nearest in the latent", ["Sentence", "Nearest"], rows, stack=True
        ),
    )


def _samples(samples: Sequence[str], *, latent: bool) -> Html:
    items = (
        element("li", text(line) if line else element("em", "(empty)", class_="soft"))
        for line in samples
    )
    return section(
        "samples",
        "New sentences",
        paragraphs(
            "z from the prior, then words sampled with top-p 0.9. Fluent and varied: good. Fluent but all alike, or "
            "broken while reconstructions are fine: the prior does not match what the encoder uses."
            if latent
            else "Words sampled with top-p 0.9."
        ),
        element("ul", *items, class_="lines"),
    )
