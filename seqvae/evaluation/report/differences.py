"""In which settings a run differs from a preset."""

import json
from collections.abc import Callable
from typing import Any, get_args

from seqvae.config import Experiment, Preset, preset
from seqvae.config_json import to_json
from seqvae.data.folder import Modality
from seqvae.preset_frames import frames_preset
from seqvae.preset_speech import speech_preset

# Names of a run and what it reads: not settings that one chooses for an effect.
_PLACES = ("data", "run")


def differences(experiment: Experiment) -> tuple[str, list[tuple[str, str, str]]]:
    """The preset nearest to an experiment, and (setting, its value there, its value here)."""
    here = _flat(to_json(experiment))
    presets: dict[Modality, Callable[[Preset], Experiment]] = {
        "text": preset,
        "speech": speech_preset,
        "frames": frames_preset,
    }
    of_size = presets[experiment.kind]
    found = []
    for name in get_args(Preset):
        there = _flat(to_json(of_size(name)))
        keys = [*here, *(key for key in there if key not in here)]
        changed = [
            (key, _words(there, key), _words(here, key))
            for key in keys
            if key not in _PLACES and there.get(key) != here.get(key)
        ]
        found.append((name, changed))
    return min(found, key=lambda pair: len(pair[1]))


def _flat(value: Any, path: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Settings by their dotted names; a choice's class stands under the choice's own name."""
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if key == "type":
            flat[path or "type"] = item
        else:
            flat |= _flat(item, f"{path}.{key}" if path else key)
    return flat


def _words(settings: dict[str, Any], key: str) -> str:
    if key not in settings:
        return "-"
    value = settings[key]
    return value if isinstance(value, str) else json.dumps(value)
