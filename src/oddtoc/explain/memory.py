"""The memory of a program, and the executable that holds it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_PAGE = 1 << 16
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_EXECUTABLE, _PPC64, _ABI_V2, _LOAD, _ALL_RIGHTS = 2, 21, 2, 1, 7


@dataclass
class Memory:
    """Bytes at addresses, in pages of 64 KiB."""

    pages: dict[int, bytearray] = field(default_factory=dict)

    def write(self, address: int, data: bytes) -> None:
        """Put bytes there; pages come into being as needed."""
        for start in range(address - address % _PAGE, address + len(data), _PAGE):
            page = self.pages.setdefault(start, bytearray(_PAGE))
            low, high = max(start, address), min(start + _PAGE, address + len(data))
            page[low - start : high - start] = data[low - address : high - address]

    def word(self, address: int) -> int:
        """The word at an address."""
        (word,) = struct.unpack_from("<I", self.pages[address - address % _PAGE], address % _PAGE)
        return int(word)

    def put(self, address: int, word: int) -> None:
        """Change one word."""
        self.write(address, struct.pack("<I", word))

    def elf(self, start: int) -> bytes:
        """An executable that has this memory and begins at `start`."""
        headers, content = [], []
        offset = -(-(_EHDR.size + len(self.pages) * _PHDR.size) // _PAGE) * _PAGE
        for address, page in sorted(self.pages.items()):
            headers.append(_PHDR.pack(_LOAD, _ALL_RIGHTS, offset, address, address, _PAGE, _PAGE, _PAGE))
            content.append(bytes(page))
            offset += _PAGE
        sizes = (_EHDR.size, _PHDR.size, len(headers), 0, 0, 0)
        head = _EHDR.pack(_IDENT, _EXECUTABLE, _PPC64, 1, start, _EHDR.size, 0, _ABI_V2, *sizes)
        head += b"".join(headers)
        return head.ljust(-(-len(head) // _PAGE) * _PAGE, b"\0") + b"".join(content)
