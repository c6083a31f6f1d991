"""Frozen dataclasses as JSON, and back with every type checked."""

import dataclasses
import types
import typing
from typing import Any, Literal, get_args, get_origin, get_type_hints

from seqvae.errors import UserError


def to_json(value: Any) -> Any:  # noqa: ANN401
    """A dataclass as JSON values; each dataclass carries its class name as `type`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(kind: Any, data: Any, where: str = "config") -> Any:  # noqa: ANN401
    """The inverse of `to_json` for a value of type `kind`.

    Raises:
        UserError: a field is unknown or has the wrong type: the file is of another version.
    """
    if isinstance(kind, types.UnionType) or get_origin(kind) is typing.Union:
        members = get_args(kind)
        if isinstance(data, dict):
            for member in members:
                if getattr(member, "__name__", None) == data.get("type"):
                    return from_json(member, data, where)
        elif data is None and type(None) in members:
            return None
        else:
            plain = [m for m in members if m is not type(None)]
            return from_json(plain[0], data, where)
        names = ", ".join(getattr(m, "__name__", str(m)) for m in members)
        raise UserError(f"{where}: type {data.get('type')!r} is not one of {names}")
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, dict) or data.get("type") != kind.__name__:  # type: ignore[union-attr]
            raise UserError(f"{where}: expected a {kind.__name__}, got {data!r}")  # type: ignore[union-attr]
        hints = get_type_hints(kind)
        extra = set(data) - set(hints) - {"type"}
        if extra:
            raise UserError(
                f"{where}: unknown field {min(extra)!r}; the run was written by another "
                "version of seqvae: train it again or use that version"
            )
        values = {
            name: from_json(hints[name], data[name], f"{where}.{name}")
            for name in hints
            if name in data
        }
        try:
            return kind(**values)  # type: ignore[operator]
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    if get_origin(kind) is tuple:
        members = get_args(kind)
        if not isinstance(data, list) or len(data) != len(members):
            raise UserError(f"{where}: expected a list of {len(members)} values, got {data!r}")
        return tuple(from_json(m, item, where) for m, item in zip(members, data, strict=True))
    if get_origin(kind) is Literal:
        if data not in get_args(kind):
            raise UserError(
                f"{where}: {data!r} is not one of {', '.join(map(repr, get_args(kind)))}"
            )
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise UserError(f"{where}: expected {kind.__name__}, got {data!r}")
    return data
