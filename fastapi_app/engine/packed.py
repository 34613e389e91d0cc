"""Compressed logs: gzip that any tool reads, and that can be read from any position.

A file is a chain of gzip members (RFC 1952, section 2.2), each holding `MEMBER` bytes of the log.
An extra field of each header says how long the member is, so a reader gets from one to the next
without decompressing anything.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from pathlib import Path

MEMBER = 1024 * 1024
LEVEL = 6
_RAW_DEFLATE = -15
# Magic, deflate, FEXTRA, time 0, no flags, Unix; then XLEN and one sub-field of four bytes.
_HEAD = struct.Struct("<4sIBBH2sHI")
_MAGIC, _FIELD = b"\x1f\x8b\x08\x04", b"ML"
_TAIL = struct.Struct("<II")


class PackedLog:
    """A compressed log, open for reading; it may be closed while another thread reads.

    Raises:
        FileNotFoundError: there is none at `path`.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._members: list[tuple[int, int]] = []
        self._size = 0
        self._recent: tuple[int, bytes] = (-1, b"")
        self._lock = threading.Lock()
        try:
            self._index()
        except BaseException:
            self.close()
            raise

    def size(self) -> int:
        """Bytes of the log, uncompressed."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes of the log from `offset` on."""
        found = bytearray()
        with self._lock:
            stop = min(offset + length, self._size)
            while (at := offset + len(found)) < stop:
                data = self._member(at // MEMBER)
                found += data[at % MEMBER : at % MEMBER + stop - at]
        return bytes(found)

    def close(self) -> None:
        with self._lock:
            self._size = 0
            os.close(self._fd)

    def _index(self) -> None:
        position, end = 0, os.fstat(self._fd).st_size
        while position < end:
            head = os.pread(self._fd, _HEAD.size, position)
            magic, *_, field, _, length = _HEAD.unpack(head)
            if magic != _MAGIC or field != _FIELD:
                raise ValueError("not a log that was compressed here")
            self._members.append((position, length))
            position += length
        if self._members:
            tail = os.pread(self._fd, _TAIL.size, end - _TAIL.size)
            self._size = MEMBER * (len(self._members) - 1) + _TAIL.unpack(tail)[1]

    def _member(self, number: int) -> bytes:
        if self._recent[0] != number:
            position, length = self._members[number]
            body = os.pread(self._fd, length - _HEAD.size - _TAIL.size, position + _HEAD.size)
            self._recent = number, zlib.decompress(body, _RAW_DEFLATE, MEMBER)
        return self._recent[1]


def pack(source: Path, target: Path) -> None:
    """Write the compressed form of `source` to `target`, which must not exist, and sync it."""
    with source.open("rb") as log, target.open("xb") as packed:
        while data := log.read(MEMBER):
            packed.write(_packed(data))
        packed.flush()
        os.fsync(packed.fileno())


def _packed(data: bytes) -> bytes:
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    body = deflate.compress(data) + deflate.flush()
    length = _HEAD.size + len(body) + _TAIL.size
    head = _HEAD.pack(_MAGIC, 0, 0, 3, 8, _FIELD, 4, length)
    return head + body + _TAIL.pack(zlib.crc32(data), len(data))
