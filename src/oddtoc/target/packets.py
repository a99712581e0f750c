"""Packets of the gdb remote serial protocol. Their layout: "Remote Protocol, Overview" in the gdb manual."""

from __future__ import annotations

from oddtoc.errors import TargetError

BIGGEST_PAYLOAD = 1 << 20
"""Bytes; a larger one is refused."""
_ESCAPE, _REPEAT = b"}*"
_FEWEST_REPEATS, _MOST_REPEATS, _REPEATS_BASE = 32, 126, 29


def packet(payload: bytes) -> bytes:
    """A payload as it goes over the wire; what is not text in it has to be `escaped`."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


def escaped(data: bytes) -> bytes:
    """Bytes of any kind as a part of a payload."""
    return b"".join(bytes([_ESCAPE, byte ^ 0x20]) if byte in b"$#}*" else bytes([byte]) for byte in data)


def decode(body: bytes) -> bytes:
    """Undo escapes (`}` and the byte xor 0x20) and run lengths (a byte, `*`, further repeats + 29).

    Raises:
        TargetError: it is malformed, or the payload larger than `BIGGEST_PAYLOAD`.
    """
    if b"}" not in body and b"*" not in body:
        return body
    decoded = bytearray()
    bytes_left = iter(body)
    for byte in bytes_left:
        if byte == _ESCAPE:
            decoded.append(_operand(next(bytes_left, None)) ^ 0x20)
        elif byte == _REPEAT:
            count = _operand(next(bytes_left, None))
            if not decoded or not _FEWEST_REPEATS <= count <= _MOST_REPEATS:
                raise TargetError("the target sends a malformed run length")
            decoded += decoded[-1:] * (count - _REPEATS_BASE)
        else:
            decoded.append(byte)
        if len(decoded) > BIGGEST_PAYLOAD:
            raise TargetError("the target sends a reply without end")
    return bytes(decoded)


def _operand(byte: int | None) -> int:
    if byte is None:
        raise TargetError("the target sends a packet that ends in the middle of an escape")
    return byte
