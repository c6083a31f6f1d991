"""Lines of a byte stream in blocks: bounded memory, bad lines skipped and reported, binary files refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from seqvae.errors import UserError

_BLOCK = 1 << 22
_SNIFF = 1 << 16
_MAGIC = {
    b"\x1f\x8b": "gzip: name it .gz",
    b"PK\x03\x04": "a zip archive or an office document: unpack or export it as text",
    b"PAR1": "parquet: name it .parquet",
    b"%PDF": "PDF: export it as text",
    b"\xff\xfe": "UTF-16: convert it to UTF-8",
    b"\xfe\xff": "UTF-16: convert it to UTF-8",
    b"BZh": "bzip2: unpack it",
    b"\xfd7zXZ": "xz: unpack it",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it",
}
_CONTROL = bytes({*range(32)} - {7, 8, 9, 10, 11, 12, 13, 27})


class ByteStream(Protocol):
    """What can be read in blocks."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


@dataclass
class SkipReport:
    """What was left out and why: all of it counted, the first entries kept."""

    limit: int = 1000
    counts: Counter[str] = field(default_factory=Counter)
    entries: list[dict[str, str | int]] = field(default_factory=list)

    def add(self, source: str, line: int, reason: str) -> None:
        """Count one line of a file as left out."""
        self.counts[reason] += 1
        if len(self.entries) < self.limit:
            self.entries.append({"source": source, "line": line, "reason": reason})


def read_lines(
    stream: ByteStream, source: str, report: SkipReport, max_line_bytes: int
) -> Iterator[tuple[int, list[str | None]]]:
    """Split a stream into lines.

    Args:
        stream: read in blocks until it is empty.
        source: name for messages.
        report: gets lines that are not UTF-8, hold NUL bytes or are too long.
        max_line_bytes: longer lines are skipped without being held in memory.

    Yields:
        The number of the first line, from 1, and lines; a skipped one is None.

    Raises:
        UserError: the content is not text.
    """
    number = 1
    carry = b""
    overlong = False
    first = True
    while block := stream.read(_BLOCK):
        if first:
            refuse_binary(block[:_SNIFF], source)
            block = block.removeprefix(b"\xef\xbb\xbf")
            first = False
        if overlong:
            _, newline, block = block.partition(b"\n")
            if not newline:
                continue
            report.add(source, number, "line too long")
            yield number, [None]
            number += 1
            overlong = False
        data = carry + block
        body, newline, carry = data.rpartition(b"\n")
        if newline:
            lines = _decode(body, source, number, report, max_line_bytes)
            yield number, lines
            number += len(lines)
        if len(carry) > max_line_bytes:
            carry, overlong = b"", True
    if overlong:
        report.add(source, number, "line too long")
        yield number, [None]
    elif carry:
        yield number, _decode(carry, source, number, report, max_line_bytes)


def refuse_binary(head: bytes, source: str) -> None:
    """Raise if the first bytes of a file are not UTF-8-like text.

    Raises:
        UserError: a known binary format, or too many control or undecodable bytes.
    """
    for magic, advice in _MAGIC.items():
        if head.startswith(magic):
            raise UserError(f"{source}: not a text file but {advice}")
    controls = len(head) - len(head.translate(None, _CONTROL))
    broken = head.decode("utf-8", "replace").count("\ufffd")
    if controls > 0.05 * len(head) + 8 or broken > 0.25 * len(head) + 8:
        raise UserError(
            f"{source}: looks like a binary file ({controls} control and {broken} undecodable bytes in the first "
            f"{len(head)}); give text, .gz, .jsonl, .csv, .tsv or .parquet"
        )


def _decode(
    data: bytes, source: str, number: int, report: SkipReport, max_line_bytes: int
) -> list[str | None]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and "\0" not in text and len(data) <= max_line_bytes:
        return [*text.replace("\r\n", "\n").removesuffix("\r").split("\n")]
    raw = data.split(b"\n")
    if text and "\0" not in text and max(map(len, raw)) <= max_line_bytes:
        return [*text.replace("\r\n", "\n").removesuffix("\r").split("\n")]
    lines: list[str | None] = []
    for offset, line in enumerate(raw):
        reason = None
        if len(line) > max_line_bytes:
            reason = "line too long"
        elif b"\0" in line:
            reason = "NUL byte"
        else:
            try:
                lines.append(line.decode("utf-8").removesuffix("\r"))
            except UnicodeDecodeError:
                reason = "invalid UTF-8"
        if reason:
            report.add(source, number + offset, reason)
            lines.append(None)
    return lines
