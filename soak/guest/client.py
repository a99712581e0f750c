"""Asks a server again and again, on connections that stay and on new ones, and checks every answer.

python3.11 client.py redis|http PORT STOP RESULT: goes on until the file STOP is there; what came of it is in the file
RESULT all the while, as JSON: how many answers there were of each kind, the failures in words, whether it has ended.
"""

import json
import os
import socket
import sys
import time
from collections import Counter
from pathlib import Path

CONNECTIONS = 4
NEW_EVERY = 5
PATIENCE = 120.0
TELL_EVERY = 0.5
PAGES = {b"plain\n" * 500: "plain", b"patched\n" * 500: "patched"}
PINGS = {b"+PONG\r\n": "plain", b"+PATCHED\r\n": "patched"}


def redis(stream, number):
    """PING, and a value that is set and got."""
    value = b"%d" % number
    yield PINGS[line(stream, b"PING")]
    expect(line(stream, b"SET soak-%d %s" % (os.getpid(), value)), b"+OK\r\n")
    yield "other"
    expect(line(stream, b"GET soak-%d" % os.getpid()), b"$%d\r\n" % len(value))
    expect(stream.readline(), value + b"\r\n")
    yield "other"


def http(stream, _number):
    """One page, byte by byte."""
    expect(line(stream, b"GET /page.a HTTP/1.1\r\nHost: soak\r\n"), b"HTTP/1.1 200 OK\r\n")
    length = 0
    while (header := stream.readline()) != b"\r\n":
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
        expect(header[-2:], b"\r\n")
    yield PAGES[stream.read(length)]


ASK = {"redis": redis, "http": http}


def look(kind, port):
    """What a new client gets first."""
    with connected(port) as stream:
        return next(ASK[kind](stream, 0))


def connected(port):
    """A new connection."""
    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as connection:
        return connection.makefile("rwb")


def line(stream, request):
    """The first line of an answer."""
    stream.write(request + b"\r\n")
    stream.flush()
    return stream.readline()


def expect(found, wanted):
    """Raise ValueError if an answer is not what it has to be."""
    if found != wanted:
        raise ValueError(f"{found!r} and not {wanted!r}")


def main(kind, port, stop, result):
    """Ask until STOP is there."""
    counts, failed, streams = Counter(), [], {}
    told, number = 0.0, 0
    while True:
        ended = Path(stop).exists()
        if ended or time.monotonic() > told + TELL_EVERY:
            tell(result, {"counts": counts, "failed": failed, "ended": ended})
            told = time.monotonic()
        if ended:
            return
        slot, number = number % CONNECTIONS, number + 1
        try:
            if slot in streams and number % NEW_EVERY == 0:
                streams.pop(slot).close()
            if slot not in streams:
                streams[slot] = connected(port)
            counts.update(ASK[kind](streams[slot], number))
        except (OSError, ValueError, KeyError) as error:
            failed.append(f"{type(error).__name__}: {error}"[:200])
            streams.pop(slot, None)


def tell(path, found):
    """Write it so that nobody reads half of it."""
    new = Path(f"{path}.new")
    new.write_text(json.dumps(found))
    new.rename(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
