"""Which sequences the prefix attention kernels take: what the choice of a path needs to know without Triton.

The numbers follow from the machine code. A kernel whose registers spill to memory is not offered, and
`python -m seqvae.kernels.aot --gate` refuses it.
"""

HEADS = (32, 64, 128)
MAX_PREFIX = 32
MAX_KEYS = 1024
# Columns of a single tile's narrow neighbour; a product on tensor cores has at least 16.
REST = 16

# Rows of the largest single tile, by the oldest architecture that takes it, bytes of a number and head dimension.
_LARGEST: dict[int, dict[int, dict[int, int]]] = {
    90: {2: {32: 128, 64: 128, 128: 64}, 4: {32: 64, 64: 32}},
    80: {2: {32: 64, 64: 64, 128: 32}, 4: {32: 32, 64: 32}},
}
# Head dimensions that the tiled kernels take. In float32 they spill.
_TILED: dict[int, dict[int, tuple[int, ...]]] = {90: {2: (32, 64, 128)}, 80: {2: (32,)}}


def _served(arch: int) -> int:
    # sm_120 and newer have the matrix instructions and the 99 KB of shared memory of sm_86.
    return 90 if 90 <= arch < 120 else 80


def tiles(head: int, size: int, arch: int) -> list[tuple[int, int]]:
    """The single tiles, smallest first: rows, and columns beyond as many columns.

    In float32 there are no columns beyond: numbers in parts (see `precision`) fill the registers.

    Args:
        head: D.
        size: bytes of a number; 8, for gradient checks, has those of 2.
        arch: compute capability, e.g. 90.
    """
    if arch < 80:
        return []
    most = _LARGEST[_served(arch)][4 if size == 4 else 2].get(head, 0)
    offered = [rows for rows in (16, 32, 64, 128) if rows <= most]
    return [(rows, rest) for rows in offered for rest in ((0,) if size == 4 else (0, REST))]


def tile(steps: int, prefix: int, head: int, size: int, arch: int) -> tuple[int, int] | None:
    """The smallest single tile that holds the steps, and the steps and a prefix, or None."""
    for rows, rest in tiles(head, size, arch):
        if steps <= rows and steps + prefix <= rows + rest:
            return rows, rest
    return None


def is_tiled(steps: int, prefix: int, head: int, size: int, arch: int) -> bool:
    """Whether the tiled kernels take it."""
    if arch < 80 or steps + prefix > MAX_KEYS:
        return False
    return head in _TILED[_served(arch)].get(size, ())


def precision(size: int, rows: int) -> str:
    """How float32 products are computed; narrower numbers have one way.

    "tf32x3" takes three products of parts with 11 bits on tensor cores, an error of about 2^-22; "ieee" takes one
    without them. From 64 rows on, where tensor cores of sm_90 read from shared memory, tf32x3 is 2.4 times fewer
    instructions; below, its parts spill in the backward pass.
    """
    return "tf32x3" if size == 2 or rows >= 64 else "ieee"
