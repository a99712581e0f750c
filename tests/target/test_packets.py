"""Packets of the debug protocol, as a server may write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc.errors import TargetError
from oddtoc.target.packets import decode


def encoded(payload, choices):
    """As the protocol allows a server to send it: escapes where needed or wanted, run lengths where possible."""
    body = bytearray()
    position = 0
    while position < len(payload):
        byte = payload[position]
        escape = byte in b"$#}*" or next(choices)
        body += bytes([ord("}"), byte ^ 0x20]) if escape else bytes([byte])
        position += 1
        run = 0
        while position + run < len(payload) and payload[position + run] == byte and run < 97:
            run += 1
        # the count must be printable, and neither `#` nor `$` (6 and 7 repeats)
        if not escape and run >= 3 and run not in (6, 7) and next(choices):
            body += bytes([ord("*"), run + 29])
            position += run
    return bytes(body)


PAYLOADS = st.lists(st.tuples(st.integers(0, 255), st.integers(1, 120)), max_size=30).map(
    lambda runs: b"".join(bytes([byte]) * count for byte, count in runs)
)


@given(PAYLOADS, st.randoms(use_true_random=False))
def test_what_is_encoded_is_decoded(payload, random):
    choices = iter(lambda: random.random() < 0.5, None)
    assert decode(encoded(payload, choices)) == payload


@given(st.binary(max_size=300) | st.text("}*#$+az~ ").map(str.encode))
def test_decode_gives_bytes_or_a_typed_error(body):
    try:
        assert len(decode(body)) <= 97 * max(len(body), 1)
    except TargetError:
        assert b"}" in body or b"*" in body


@pytest.mark.parametrize("body", [b"*~", b"a*", b"a}", b"a*\x1f", b"a*\x7f", b"}"])
def test_malformed_run_lengths_and_escapes_are_refused(body):
    with pytest.raises(TargetError):
        decode(body)


def test_a_short_packet_does_not_become_a_giant():
    with pytest.raises(TargetError, match="without end"):
        decode(b"0" + b"*~" * 600_000)
