"""Damage that knows where it hurts: fields of ELF files, records of the journal, packets, words of memory."""

import json
import struct
import zlib

ODD = {
    1: (0, 1, 0x7F, 0x80, 0xFF),
    2: (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0xFF00),
    4: (0, 1, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFC, 0x10000000),
    8: (0, 1, 8, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 8, 0xC000000000000000, 1 << 40),
}
_TEXTS = ("", "\0", "\u2028", "\ud800", "x" * 300, "..", "vmlinux", "\x1b[31m", "a\nb", "\u202e", "guarded/slot", "-1")
_NUMBERS = (-1, 0, 1, 2**31, 2**32, 2**63, 2**64, 10**400, 1.5, float("inf"), float("nan"))
_VALUES = (None, True, False, *_NUMBERS, [], {}, [[]])


def damaged(rng, data, places=()):
    """Some bytes of `data` changed: fields at `places` ((offset, size) each) more often than others."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if not data:
            break
        kind = rng.random()
        if places and kind < 0.6:
            _field(rng, data, *rng.choice(places))
        elif kind < 0.8:
            _field(rng, data, rng.randrange(len(data)), rng.choice((1, 2, 4, 8)))
        elif kind < 0.88:
            start = rng.randrange(len(data))
            end = min(len(data), start + rng.randrange(1, 64))
            data[start:end] = data[rng.randrange(len(data)) :][: end - start]
        elif kind < 0.94:
            del data[rng.randrange(len(data)) :]
        else:
            start = rng.randrange(len(data))
            data[start:start] = rng.randbytes(rng.randrange(1, 40))
    return bytes(data)


def _field(rng, data, offset, size):
    choices = rng.random()
    old = int.from_bytes(data[offset : offset + size], "little")
    if choices < 0.5:
        value = rng.choice(ODD[size])
    elif choices < 0.75:
        value = old + rng.choice((-8, -4, -1, 1, 4, 8, 24, 64, 4096))
    elif choices < 0.9:
        value = old ^ 1 << rng.randrange(8 * size)
    else:
        value = rng.getrandbits(8 * size)
    room = len(data[offset : offset + size])
    data[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")[:room]


def elf_places(data):
    """(offset, size) of the fields of an ELF file that everything else hangs on."""
    places = [(16, 2), (18, 2), (24, 8), (32, 8), (40, 8), (48, 4), *((offset, 2) for offset in range(52, 64, 2))]
    (headers,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for number in range(count):
        start = headers + number * size
        places += [(start + o, 4) for o in (0, 4, 40, 44)] + [(start + o, 8) for o in (8, 16, 24, 32, 48, 56)]
        kind, offset, length = struct.unpack_from("<4xI16xQQ", data, start)
        if kind in (2, 11):  # symbols
            for entry in range(offset, min(offset + length, len(data)), 24):
                places += [(entry, 4), (entry + 4, 1), (entry + 5, 1), (entry + 6, 2), (entry + 8, 8), (entry + 16, 8)]
        elif kind == 4:  # relocations with addends
            for entry in range(offset, min(offset + length, len(data)), 24):
                places += [(entry, 8), (entry + 8, 4), (entry + 12, 4), (entry + 16, 8)] * 2
        elif kind == 1 and length and length % 136 == 0:  # what replaces what
            places += [(offset + o, 8) for o in range(0, length, 8)]
    return places


def damaged_json(rng, value):
    """A value of JSON with some of it replaced, moved, doubled or gone."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _damaged_node(rng, value, rng.choice((0, 1, 2, 3, 9, 9, 9, 9)))
    return value


def _damaged_node(rng, value, depth):
    if depth and isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        return {**value, key: _damaged_node(rng, value[key], depth - 1)}
    if depth and isinstance(value, list) and value:
        place = rng.randrange(len(value))
        return [*value[:place], _damaged_node(rng, value[place], depth - 1), *value[place + 1 :]]
    kind = rng.random()
    if isinstance(value, dict) and value and kind < 0.4:
        return {key: one for key, one in value.items() if key != rng.choice(sorted(value))}
    if isinstance(value, list) and kind < 0.4:
        return rng.choice((value * 2, value[1:], value[::-1], value * 500))
    if isinstance(value, int) and kind < 0.85:
        return value + rng.choice((-(2**40), -65536, -4, -1, 1, 2, 4, 8, 65536, 2**40))
    if isinstance(value, str) and kind < 0.7:
        return rng.choice(_TEXTS)
    return rng.choice((*_VALUES, *_TEXTS))


def damaged_entry(rng, header, magic, body, state):
    """An entry of the journal whose checksum is right, so that what is in it is looked at."""
    try:
        body = json.dumps(damaged_json(rng, json.loads(body)), allow_nan=True).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        body = damaged(rng, body)
    if rng.random() < 0.1:
        whole = (b"[" * 100_000, b'{"a":' * 20_000, b"", b"null", b"1" * 5000, b"\xff\xfe")
        body = rng.choice((*whole, damaged(rng, body)))
    capacity = -(-(header.size + len(body)) // 128) * 128
    state = rng.choice((state, state, 1, 2, 3, 4, 0, 99))
    entry = header.pack(magic, state, capacity, len(body), zlib.crc32(body)) + body
    return entry.ljust(capacity, b"\0")
