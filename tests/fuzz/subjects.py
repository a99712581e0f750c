"""What is fed with hostile input: each takes bytes or a copy of a guest, and may raise OddtocError and nothing else."""

import contextlib
import socket
import threading
from pathlib import Path
from unittest.mock import patch as replaced

from oddtoc.errors import OddtocError
from oddtoc.image import Image
from oddtoc.image.flow import Flow
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.target import wire
from oddtoc.target.packets import packet
from oddtoc.target.qemu import QemuTarget
from oddtoc.target.server import ServerConnection


def image(path):
    """Everything that looks into an image."""
    found = Image.open(path)
    assert found.build_id is None or found.notes
    _ = found.toc, found.sites, found.pointers, found.text()
    for symbol in list(found.symbols)[:200]:
        found.symbols.find(symbol.name)
        found.symbols.at(symbol.address)
        if symbol.is_function:
            found.entry(symbol)
    if not found.is_relocatable:
        Flow(found).sibling_calls()


def patch_object(path, session, mechanism):
    """From the file to the plan of an apply to a sound guest, to which nothing is written."""
    try:
        session.plan(PatchObject.open(path), mechanism=mechanism)
    finally:
        assert not session.target.written


def operate(session, patch, choice):
    """What the commands do with a guest that may not be as it should."""
    with contextlib.suppress(OddtocError):
        session.kernel.check_identity()
    operations = {
        "status": session.status,
        "apply": lambda: session.apply(session.plan(patch, mechanism="auto"), timeout=0),
        "replace": lambda: session.apply(session.plan(patch, mechanism="guarded/slot", replace=True), timeout=0),
        "revert": lambda: [session.revert(s.record.name, timeout=0) for s in session.status()[::-1] if s.present],
        "gc": session.gc,
    }
    operations[choice]()


def new_session(copy, whole):
    """A session with a copy of a guest; `whole` has the image."""
    return Session(copy, whole.kernel.image, "copy")


class Server:
    """A debug server that answers as one did that was listened to, but for what is damaged.

    Args:
        answers: request -> packets of its reply.
        damage: damage(bytes) -> bytes, for every packet that is sent.
    """

    def __init__(self, answers, damage):
        self.answers = answers
        self.damage = damage

    def serve(self, connected):
        pending = b""
        with contextlib.suppress(OSError):
            while data := connected.recv(1 << 16):
                pending += data
                while True:
                    if pending[:1] == b"\x03":
                        connected.sendall(self.damage(packet(b"T02thread:01;")))
                        pending = pending[1:]
                    elif pending[:1] == b"$" and len(pending) >= (end := pending.find(b"#") + 3) > 2:
                        request, pending = pending[1 : end - 3], pending[end:]
                        connected.sendall(b"+" + b"".join(map(self.damage, self.replies(request))))
                    elif pending[:1] in (b"+", b"-"):
                        pending = pending[1:]
                    else:
                        break

    def replies(self, request):
        if request == b"c":
            return []
        if request[:1] == b"M":
            return [packet(b"OK")]
        if request[:1] == b"m" and request not in self.answers:
            return [packet(b"00" * int(request.partition(b",")[2] or b"0", 16))]
        return self.answers.get(request, [packet(b"")])


def protocol(server, address):
    """A connection to a server, with everything that a session asks of a target; it always ends closed."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=server.serve, args=(theirs,))
    thread.start()
    try:
        with replaced.object(wire, "_connect", return_value=ours):
            target = QemuTarget.connect(Path("fake"), lock=False, timeout=0.1)
        with target:
            target.read_many([(address, 64), (address + 4096, 8)])
            target.write_many([(address, b"\0" * 8)])
            with target.stopped() as stopped:
                cpus, memory = stopped.look([(address, 16)])
                assert len(memory[0]) == 16 and all(cpu.positions for cpu in cpus)
    finally:
        ours.close()
        theirs.close()
        thread.join(20)
        assert not thread.is_alive()


def answers_of(endpoint, address):
    """Listen to a real server: request -> packets of its reply."""
    heard = {}
    exchange, monitor, hello = (
        ServerConnection.exchange,
        ServerConnection.monitor,
        ServerConnection.hello,
    )

    def listen(connection, requests):
        replies = exchange(connection, requests)
        heard.update((request, [packet(_plain(reply))]) for request, reply in zip(requests, replies, strict=True))
        return replies

    def listen_to_monitor(connection, commands):
        printed = monitor(connection, commands)
        for command, text in zip(commands, printed, strict=True):
            parts = [text[start : start + 1000] for start in range(0, len(text), 1000)]
            replies = [*(b"O" + part.encode().hex().encode() for part in parts), b"OK"]
            heard[b"qRcmd," + command.encode().hex().encode()] = list(map(packet, replies))
        return printed

    def listen_to_hello(connection, request, mark):
        reply = hello(connection, request, mark)
        heard[request] = [packet(reply)]
        return reply

    with (
        replaced.object(ServerConnection, "exchange", listen),
        replaced.object(ServerConnection, "monitor", listen_to_monitor),
        replaced.object(ServerConnection, "hello", listen_to_hello),
        QemuTarget.connect(endpoint) as target,
        target.stopped() as stopped,
    ):
        stopped.look([(address, 16)])
        for cpu in stopped.cpus():
            stopped._with_saved_pc([type(cpu)(cpu.id, {**cpu.registers, "msr": 0})])
    return heard


def _plain(payload):
    """As it may be in a packet: escaped."""
    return b"".join(bytes([125, byte ^ 0x20]) if byte in b"$#}*" else bytes([byte]) for byte in payload)
