"""Forms with files (multipart/form-data, RFC 7578), as browsers and `curl --form` send them."""

from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser
from typing import NamedTuple

from seqvae.serving.refusal import refuse, shown

MOST_PARTS = 32
_LARGEST_HEAD = 8192


class Part(NamedTuple):
    """One field of a form.

    Attributes:
        name: of the field.
        is_file: whether it has a file name.
        content: what it holds.
    """

    name: str
    is_file: bool
    content: bytes


def read_multipart(content: bytes, content_type: str) -> list[Part]:
    """The fields of a form, in order.

    Args:
        content: the body.
        content_type: the header, with the boundary.

    Raises:
        Refusal: 400 not such a form.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("")
    if not boundary or len(boundary) > 200:
        refuse("the form's Content-Type names no boundary")
    line = b"\r\n--" + boundary.encode("latin-1", "replace")
    # The first boundary may be the first thing in the body.
    body = b"\r\n" + content
    position = body.find(line)
    parts: list[Part] = []
    if position < 0:
        refuse("the form has no field: its boundary does not occur in it")
    while True:
        position += len(line)
        if body[position : position + 2] == b"--":
            return parts
        end = body.find(line, position)
        if end < 0:
            refuse("the form is cut short: its last boundary is missing")
        if len(parts) == MOST_PARTS:
            refuse(f"the form has more than {MOST_PARTS} fields")
        parts.append(_part(body, position, end))
        position = end


def _part(body: bytes, begin: int, end: int) -> Part:
    split = body.find(b"\r\n\r\n", begin, min(end, begin + _LARGEST_HEAD))
    if split < 0:
        refuse("a field of the form has no headers")
    try:
        head = BytesHeaderParser().parsebytes(body[begin:split].lstrip())
        name = head.get_param("name", header="content-disposition")
        is_file = head.get_param("filename", header="content-disposition") is not None
    except (MessageError, ValueError, LookupError):
        refuse("a field of the form has headers that cannot be read")
    if not isinstance(name, str):
        refuse(f"a field of the form has no plain name: {shown(name)}")
    return Part(name, is_file, body[split + 4 : end])
