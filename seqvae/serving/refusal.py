"""What a server says no with: one exception that carries the status and the words."""

from typing import NoReturn


class Refusal(Exception):
    """A request that is answered with an error: `{"error": message}`.

    Attributes:
        status: HTTP status code, 400 or more.
        message: what is wrong, where, which value was got, and what is accepted.
        headers: further response headers.
        reason: label of the failure in the metrics: REJECTED, CANCELED, BACKEND or OTHER, the
            words of Triton Inference Server.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        reason: str = "OTHER",
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers, self.reason = headers or {}, reason


def refuse(message: str, status: int = 400) -> NoReturn:
    """Raise a `Refusal` of what the client sent."""
    raise Refusal(status, message)


def shown(value: object, limit: int = 60) -> str:
    """A value from a request as a message may quote it: short, on one line."""
    text = repr(value) if not isinstance(value, list | dict) else _outline(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _outline(value: list[object] | dict[str, object]) -> str:
    # repr() of something nested and huge would cost more than the request.
    return f"a list of {len(value)}" if isinstance(value, list) else f"an object of {len(value)}"
