"""What a client must know of one tensor of a model."""

from typing import NamedTuple


class Spec(NamedTuple):
    """An input or output of a model.

    Attributes:
        name: of the tensor.
        datatype: BYTES, BOOL, INT64 or FP32.
        columns: size of its second axis; -1: any. The first is the batch.
        about: what it means.
        optional: whether a request may leave it out.
        more: sizes of further axes, of outputs only.
    """

    name: str
    datatype: str
    columns: int
    about: str
    optional: bool = False
    more: tuple[int, ...] = ()

    @property
    def shape(self) -> list[int]:
        """Sizes of the axes behind that of the batch."""
        return [self.columns, *self.more]
