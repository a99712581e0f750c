"""The smallest FAT file system: one file, `file`, that holds `hello`."""

import struct

SECTOR = 512
_BOOT = struct.Struct("<3s8sHBHBHHBH")


def image():
    """The bytes of a FAT12 file system of 64 sectors (Microsoft, "FAT: General Overview of On-Disk Format")."""
    boot = _BOOT.pack(b"\xeb\x3c\x90", b"oddtoc  ", SECTOR, 1, 1, 1, 16, 64, 0xF8, 1).ljust(510, b"\0") + b"\x55\xaa"
    table = b"\xf8\xff\xff" + b"\xff\x0f\x00"
    entry = struct.pack("<11sB10xHHHI", b"FILE       ", 0x20, 0x6000, 0x5021, 2, 6)
    parts = (boot, table, entry, b"hello\n")
    return b"".join(part.ljust(SECTOR, b"\0") for part in parts).ljust(64 * SECTOR, b"\0")
