"""Walk through the counts of a Bruker .bcf before RosettaSciIO's compiled parser does, which checks nothing itself.

A pixel is a header and one of three packings: a channel of 16 or of 12 bits for each X-ray, or runs of channels with as
many bits as their counts need. The parser trusts each length; a wrong one makes it read beyond the data, and ends the
process. The layout is the one that RosettaSciIO documents.
"""

import struct
from pathlib import Path

_HEADER, _BLOCKS = 0x14C, 0x118
"""Bytes of the header that are read, and where the blocks begin."""

_FIRST_LINE = 0x1A0
_COUNT = struct.Struct("<I")
_PIXEL = struct.Struct("<IHH4xHHHI")  # x, two channels, packing, size, pulses, bytes
_LAST_BYTE_OF_12_BITS = (1, 3, 5, 5)
"""Of each of four X-rays in six bytes: the last byte that the parser looks at."""
_RUN_BYTES = (0, 1, 2, 4, 8)


def check_bruker(path: Path) -> None:
    """Raise ValueError or struct.error for a file whose lengths do not fit together."""
    from rsciio.bruker import _api

    with path.open("rb") as stream:
        header = stream.read(_HEADER)
    (block_bytes,), (n_blocks,) = (struct.unpack_from("<I", header, place) for place in (0x128, 0x148))
    if path.stat().st_size < _BLOCKS + block_bytes * n_blocks:
        raise ValueError(f"{n_blocks} blocks of {block_bytes} bytes in a file of {path.stat().st_size}")
    reader = _api.BCF_reader(str(path))
    shape = (int(reader.header.image.height), int(reader.header.image.width))
    for index in reader.available_indexes:
        blocks, size, _ = reader.get_file(f"EDSDatabase/SpectrumData{index}").get_iter_and_properties()
        pieces = list(blocks)
        if any(len(piece) != size for piece in pieces[:-1]) or len(pieces[-1]) > size:
            raise ValueError(f"blocks that are not of {size} bytes")
        check_counts(b"".join(pieces), shape=shape, block_bytes=int(size))


def check_counts(contents: bytes, *, shape: tuple[int, int], block_bytes: int) -> None:
    """Raise ValueError or struct.error unless every pixel lies in the image (y, x) and its counts in `contents`."""
    (n_lines,) = _COUNT.unpack_from(contents)
    if n_lines > shape[0]:
        raise ValueError(f"{n_lines} lines in an image of {shape[0]}")
    place = _FIRST_LINE
    for _ in range(n_lines):
        (n_pixels,) = _COUNT.unpack_from(contents, place)
        place += _COUNT.size
        for _ in range(n_pixels):
            place = _after_pixel(contents, place, width=shape[1], block_bytes=block_bytes)


def _after_pixel(contents: bytes, place: int, *, width: int, block_bytes: int) -> int:
    """Return where the next pixel begins."""
    x, _, _, packing, _, n_pulses, n_bytes = _PIXEL.unpack_from(contents, place)
    place += _PIXEL.size
    needed = {0: 2 * n_pulses, 1: _bytes_of_12_bits(n_pulses)}.get(packing, 4)
    if x >= width or not needed <= n_bytes <= block_bytes or place + n_bytes > len(contents):
        raise ValueError(f"pixel {x} of {width} with {n_pulses} X-rays in {n_bytes} bytes")
    if packing > 1:
        _check_runs(contents[place : place + n_bytes - 4])
        place += 2 * n_pulses
        if place + n_bytes > len(contents):
            raise ValueError(f"{n_pulses} more X-rays than there are bytes")
    return int(place + n_bytes)


def _bytes_of_12_bits(n_pulses: int) -> int:
    full, more = divmod(n_pulses, 4)
    return 6 * full + (max(_LAST_BYTE_OF_12_BITS[:more]) + 1 if more else 0)


def _check_runs(packed: bytes) -> None:
    place = 0
    while place < len(packed):
        size, n_channels = packed[place], packed[place + 1]
        if size not in _RUN_BYTES:
            raise ValueError(f"a run of channels with {size} bytes")
        place += 2 + (size + (-(-n_channels // 2) if size == 1 else n_channels * size // 2) if size else 0)
    if place > len(packed):
        raise ValueError(f"runs of {place} bytes in a pixel of {len(packed)}")
