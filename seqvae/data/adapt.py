"""Any sentencepiece model to one with seqvae's five special ids in front."""

from importlib import import_module
from pathlib import Path
from typing import Any

from seqvae.data.corpus import TOKENIZER
from seqvae.data.text import BOS, EOS, PAD, SPECIAL, UNK, Tokenizer
from seqvae.errors import UserError

_LARGEST = 256 << 20


def load_tokenizer(path: Path) -> bytes:
    """Read a tokenizer to prepare another corpus with.

    Args:
        path: a sentencepiece .model file or a prepared corpus.

    Returns:
        The model, its pieces rearranged if need be.

    Raises:
        UserError: nothing there, or not a sentencepiece model.
    """
    model = path / TOKENIZER if path.is_dir() else path
    if not model.is_file():
        raise UserError(
            f"{model}: no such tokenizer; name a sentencepiece .model file or a prepared corpus"
        )
    if model.stat().st_size > _LARGEST:
        raise UserError(f"{model}: {model.stat().st_size} bytes is too large for a tokenizer")
    return rearrange(model.read_bytes(), str(model))


def rearrange(model: bytes, name: str) -> bytes:
    """Put `SPECIAL` in front of a model's pieces; control pieces of its own, never made from text, go.

    Args:
        model: a serialised sentencepiece model.
        name: for messages.

    Raises:
        UserError: not a sentencepiece model.
    """
    try:
        Tokenizer(model)
        return model
    except UserError:
        pass
    try:
        schema: Any = import_module("sentencepiece.sentencepiece_model_pb2")
        decode_error: type[Exception] = import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise UserError(
            f"{name}: rearranging its pieces needs protobuf: pip install protobuf"
        ) from error
    proto = schema.ModelProto()
    try:
        proto.ParseFromString(model)
    except decode_error as error:
        raise UserError(f"{name}: not a sentencepiece model ({error})") from error
    kinds = schema.ModelProto.SentencePiece
    rest = [
        (piece.piece, piece.score, piece.type)
        for piece in proto.pieces
        if piece.type not in (kinds.CONTROL, kinds.UNKNOWN) and piece.piece not in SPECIAL
    ]
    if not rest:
        raise UserError(f"{name}: not a sentencepiece model, it has no pieces")
    del proto.pieces[:]
    for index, text in enumerate(SPECIAL):
        kind = kinds.UNKNOWN if index == UNK else kinds.CONTROL
        proto.pieces.add(piece=text, score=0.0, type=kind)
    for text, score, kind in rest:
        proto.pieces.add(piece=text, score=score, type=kind)
    spec = proto.trainer_spec
    spec.pad_id, spec.unk_id, spec.bos_id, spec.eos_id = PAD, UNK, BOS, EOS
    spec.pad_piece, spec.unk_piece, spec.bos_piece, spec.eos_piece = SPECIAL[:4]
    spec.vocab_size = len(proto.pieces)
    rearranged: bytes = proto.SerializeToString(deterministic=True)
    Tokenizer(rearranged)
    return rearranged
