"""A vocoder in a folder: `vocoder.json`, and `model.safetensors` where there are weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.vocoders.griffin_lim import GriffinLim
from seqvae.vocoders.istft import Istft
from seqvae.vocoders.linear_head import LinearHead
from seqvae.vocoders.vocoder import Vocoder

VocoderChoice = Istft | LinearHead | GriffinLim
KINDS: dict[str, type[VocoderChoice]] = {kind.__name__: kind for kind in get_args(VocoderChoice)}
FORMAT = "seqvae-vocoder"
VERSION = 1
DESCRIPTION = "vocoder.json"
WEIGHTS = "model.safetensors"


def save_vocoder(
    vocoder: Vocoder,
    config: VocoderChoice,
    folder: str | Path,
    **facts: Any,  # noqa: ANN401
) -> None:
    """Write a vocoder; one that is there is replaced.

    Args:
        vocoder: what `config.build` made, trained or not.
        config: its settings.
        folder: where.
        facts: JSON values about it: how it was trained, on what.

    Raises:
        UserError: the folder cannot be written.
    """
    path = Path(folder)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "type": type(config).__name__,
        "vocoder": dataclasses.asdict(config),
        "mel": dataclasses.asdict(vocoder.settings),
        "facts": facts,
    }
    tensors = {n: v.detach().cpu().contiguous() for n, v in vocoder.state_dict().items()}
    text = json.dumps(document, indent=2) + "\n"
    try:
        path.mkdir(parents=True, exist_ok=True)
        weights, description = path / f".{WEIGHTS}.partial", path / f".{DESCRIPTION}.partial"
        save_file(tensors, weights)
        description.write_text(text, encoding="utf-8")
        weights.replace(path / WEIGHTS)
        description.replace(path / DESCRIPTION)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"cannot write the vocoder {path}: {error}; free space or fix its permissions"
        ) from error


def load_vocoder(folder: str | Path, settings: MelSettings | None = None) -> Vocoder:
    """A vocoder that `save_vocoder` wrote, in evaluation mode.

    Args:
        folder: where it lies.
        settings: mel settings of the frames it shall turn into sound.

    Raises:
        UserError: not a vocoder, of another version, damaged, or made for other mel settings.
    """
    path = Path(folder)
    document = _read(path / DESCRIPTION)
    config = _build(KINDS[document["type"]], document["vocoder"], path / DESCRIPTION)
    own = _build(MelSettings, document["mel"], path / DESCRIPTION)
    if settings is not None:
        match_settings(own, settings, str(path))
    vocoder: Vocoder = config.build(own)
    try:
        vocoder.load_state_dict(load_file(path / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{path / WEIGHTS}: missing, damaged or of another vocoder than {DESCRIPTION} says "
            f"({error}); copy the whole folder again"
        ) from None
    return vocoder.eval()


def match_settings(own: MelSettings, wanted: MelSettings, where: str) -> None:
    """Raise a UserError that names the first field in which a vocoder's mel settings differ.

    Args:
        own: of the vocoder.
        wanted: of what it shall turn into sound.
        where: the vocoder, for the message.
    """
    for field in dataclasses.fields(MelSettings):
        mine, theirs = getattr(own, field.name), getattr(wanted, field.name)
        if mine != theirs:
            raise UserError(
                f"vocoder {where} was made for mel settings with {field.name} {mine}, but the frames "
                f"have {field.name} {theirs}: train a vocoder on the same data "
                "(`seqvae vocoder DATA OUT`) or choose one with these settings"
            )


def _read(path: Path) -> dict[str, Any]:
    """The description, with the fields this version knows."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path.parent} is not a vocoder: {path.name}: {error.strerror}; name a folder that "
            "`seqvae vocoder` wrote"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); restore it from a copy") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(
            f"{path} does not describe a vocoder; name a folder that `seqvae vocoder` wrote"
        )
    if document.get("version") != VERSION:
        raise UserError(
            f"{path}: version {document.get('version')!r}, this seqvae reads {VERSION}: "
            "train it again or use the version that wrote it"
        )
    if document.get("type") not in KINDS:
        raise UserError(
            f"{path}: type {document.get('type')!r} is not one of {', '.join(sorted(KINDS))}"
        )
    return document


def _build(kind: type[Any], values: Any, where: Path) -> Any:  # noqa: ANN401
    """A dataclass of scalars from JSON values."""
    hints = get_type_hints(kind)
    if not isinstance(values, dict) or not values.keys() <= hints.keys():
        raise UserError(f"{where}: expected the fields {', '.join(hints)}, got {values!r:.200}")
    checked = {}
    for name, value in values.items():
        hint = hints[name]
        options = get_args(hint)
        number = hint is float and isinstance(value, int) and not isinstance(value, bool)
        fits = value in options if options else type(value) is hint
        if not (fits or number):
            wanted = " or ".join(map(repr, options)) if options else hint.__name__
            raise UserError(f"{where}: {name} is {value!r}, expected {wanted}")
        checked[name] = float(value) if number else value
    try:
        return kind(**checked)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
