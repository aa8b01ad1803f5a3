"""Bounded decompression of chunks and messages: 91 kB can unpack to 3 GB."""

from __future__ import annotations

from collections.abc import Iterator

import lz4.frame
import zstandard

LEAST_BUDGET = 1 << 30
UNPACKS_BY = 20
"""Files may unpack to `LEAST_BUDGET` or, if that is more, to this many times their size [bytes]."""
_PORTION = 1 << 20


class UnpacksTooFarError(ValueError):
    """A file would fill the memory; the text says so and names the remedy."""


class Budget:
    """Memory that may still be filled by unpacking; the files of one recording share it.

    Parameters
    ----------
    size : int
        Of the files [bytes].
    limit : int, optional
        Of what they unpack to [bytes].
    """

    def __init__(self, size: int, limit: int | None = None) -> None:
        self.limit = max(LEAST_BUDGET, UNPACKS_BY * size) if limit is None else limit
        self._left = self.limit

    def take(self, count: int, name: object) -> None:
        """Count so many bytes more.

        Raises
        ------
        UnpacksTooFarError
            If it is too much.
        """
        self._left -= count
        if self._left < 0:
            raise UnpacksTooFarError(
                f"{name} unpacks to more than {self.limit / 1e9:.3g} GB, expected at most {UNPACKS_BY} times its size "
                "or 1 GB: it is damaged, or made to fill the memory; if you trust it, give a larger --unpack-limit"
            )


def is_zstd(data: bytes) -> bool:
    """Whether bytes begin as zstd's do. No message of ROS 2 begins so."""
    return data.startswith(zstandard.FRAME_HEADER)


def unpack(compression: str, data: bytes, budget: Budget, name: object) -> tuple[bytes, str]:
    """Undo a compression as far as it goes; return what came out, and "" or what is wrong with the rest.

    Raises
    ------
    UnpacksTooFarError
        If it is more than the budget has left.
    """
    portions = {"zstd": _zstd, "lz4": _lz4}.get(compression)
    if portions is None:
        return b"", f"compression {compression!r} is not known here: zstd, lz4"
    parts: list[bytes] = []
    try:
        for part in portions(data):
            budget.take(len(part), name)
            parts.append(part)
    except (zstandard.ZstdError, RuntimeError, EOFError, MemoryError) as error:
        return b"".join(parts), f"{type(error).__name__}: {error}"
    return b"".join(parts), ""


def _zstd(data: bytes) -> Iterator[bytes]:
    expected = zstandard.get_frame_parameters(data).content_size
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data)
    found = 0
    while part := reader.read(_PORTION):
        found += len(part)
        yield part
    if expected != zstandard.CONTENTSIZE_UNKNOWN and found != expected:
        raise EOFError(f"{found} bytes, expected {expected}")


def _lz4(data: bytes) -> Iterator[bytes]:
    decompressor, rest = lz4.frame.LZ4FrameDecompressor(), data
    while not decompressor.eof:
        part = decompressor.decompress(rest, _PORTION)
        rest = b""
        yield part
        if not part and decompressor.needs_input:
            raise EOFError("it is cut")
