"""The tokenizer: a sentencepiece model with the five special ids that every part of seqvae relies on."""

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from seqvae.data.normalise import Normaliser
from seqvae.errors import UserError

PAD, UNK, BOS, EOS, BLANK = 0, 1, 2, 3, 4
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<blank>")

ModelType = Literal["unigram", "bpe", "char"]

# Unigram sums floats per thread: a fixed number makes the model the same on every machine.
_TRAINING_THREADS = 4


class Tokenizer:
    """Text to token ids and back.

    Args:
        model: a serialised sentencepiece model whose first five pieces are `SPECIAL`.

    Raises:
        UserError: not such a model.
    """

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self.model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError) as error:
            raise UserError(f"tokenizer: not a sentencepiece model ({error})") from error
        found = tuple(self._processor.id_to_piece(i) for i in range(min(5, self.vocab_size)))
        if found != SPECIAL:
            raise UserError(
                f"tokenizer: the first five pieces must be {' '.join(SPECIAL)}, got {' '.join(found)}; "
                "give it to `seqvae prepare text --tokenizer`, which rearranges it"
            )

    @property
    def vocab_size(self) -> int:
        """Number of pieces, the five special ones included."""
        return int(self._processor.vocab_size())

    @property
    def sha256(self) -> str:
        """Digest of the model file."""
        return hashlib.sha256(self.model).hexdigest()

    def normalise(self, text: str) -> str:
        """Return the text as the model sees it: `decode(encode(text))` under byte fallback."""
        normalised: str = self._processor.normalize(_without_surrogates(text))
        return normalised.replace("\u2581", " ").removeprefix(" ")

    def encode(self, text: str) -> list[int]:
        """Normalise and split a text into ids, without start and end tokens."""
        ids: list[int] = self._processor.encode(_without_surrogates(text))
        return ids

    def encode_batch(self, texts: Sequence[bytes], threads: int = 1) -> list[list[int]]:
        """Encode many UTF-8 texts; the result does not depend on the number of threads."""
        ids: list[list[int]] = self._processor.encode(list(texts), num_threads=threads)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Join ids to text: stops at the end token, leaves out padding, start and blank tokens."""
        text: str = self._processor.decode(self._until_end(ids))
        return text

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of every id, special ones too; U+2581 marks the start of a word."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    @staticmethod
    def _until_end(ids: Iterable[int]) -> list[int]:
        kept = []
        for value in ids:
            if value == EOS:
                break
            if value not in (PAD, BOS, BLANK):
                kept.append(int(value))
        return kept


def train_tokenizer(
    lines: Iterable[str],
    *,
    vocab_size: int,
    model_type: ModelType = "unigram",
    byte_fallback: bool = True,
    character_coverage: float = 0.9995,
    normaliser: Normaliser | None = None,
    whole: Sequence[str] = (),
    mark_start: bool = True,
) -> bytes:
    """Train a sentencepiece model; the same lines and settings give the same bytes.

    Args:
        lines: the texts, read once and kept in memory; pass a sample of a large corpus.
        vocab_size: pieces wanted, special ones included. A corpus too small for that many gets as many as it has.
        model_type: the algorithm.
        byte_fallback: spend 256 pieces on raw bytes, so that any text survives encoding.
        character_coverage: share of the characters that get a piece of their own; the rest are bytes or unknown.
        normaliser: the rule put into the model; default NFKC.
        whole: strings that are always one piece, the longest that fits first.
        mark_start: read every text as if a space stood before it, as words have one.

    Raises:
        UserError: the lines hold too few or too many different characters for `vocab_size`.
    """
    kept = list(lines)
    normaliser = normaliser or Normaliser()
    with tempfile.TemporaryDirectory() as folder:
        options = normaliser.trainer_options(Path(folder)) | {
            "model_type": model_type,
            "byte_fallback": byte_fallback,
            "character_coverage": character_coverage,
            "hard_vocab_limit": model_type != "char",
            "pad_id": PAD,
            "unk_id": UNK,
            "bos_id": BOS,
            "eos_id": EOS,
            "pad_piece": SPECIAL[PAD],
            "control_symbols": [SPECIAL[BLANK]],
            "max_sentence_length": 1 << 24,
            "num_threads": _TRAINING_THREADS,
            "minloglevel": 2,
        }
        # Only what is asked for: options that are named, even at their defaults, are written into the model.
        if whole:
            options["user_defined_symbols"] = list(whole)
        if not mark_start:
            options["add_dummy_prefix"] = False
        try:
            return _train(kept, vocab_size, options)
        except RuntimeError as error:
            largest = re.search(r"too high \(\d+\).*<= (\d+)", str(error))
            if not largest:
                raise _explain(error, vocab_size) from error
        try:
            return _train(kept, int(largest.group(1)), options)
        except RuntimeError as error:
            raise _explain(error, int(largest.group(1))) from error


def _train(lines: list[str], vocab_size: int, options: dict[str, Any]) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=vocab_size, **options
    )
    return model.getvalue()


def _explain(error: RuntimeError, vocab_size: int) -> UserError:
    needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
    if needed:
        return UserError(
            f"vocab_size {vocab_size} is too small: single characters, bytes and special pieces already take "
            f"{needed.group(1)}; raise --vocab-size or lower --character-coverage"
        )
    return UserError(f"sentencepiece could not train a tokenizer on these lines: {error}")


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
