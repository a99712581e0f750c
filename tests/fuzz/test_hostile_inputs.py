"""Hostile input of every kind: an answer or a typed error, in bounded time and memory, and nothing written.

A short run by default; ODDTOC_FUZZ=14 makes it 14 times as long (`make fuzz`), ODDTOC_FUZZ_SEED makes it another one.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from oddtoc.build.compile import compile_patch, tool
from oddtoc.errors import OddtocError, SymbolError
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image
from oddtoc.live.session import Session
from oddtoc.live.store import HEADER, MAGIC
from oddtoc.target.qemu import QemuTarget

from .mutate import ODD, damaged, damaged_entry, elf_places
from .snapshot import Copy, Memory, damaged_cpus
from .subjects import Server, answers_of, image, new_session, operate, patch_object, protocol

SCALE = float(os.environ.get("ODDTOC_FUZZ", "1"))
SEED = int(os.environ.get("ODDTOC_FUZZ_SEED", "20261123"))
LONGEST = 20
"""Seconds for one input: what takes longer hangs. The longest that was seen is printed."""
MOST_MEMORY = 400 << 10
"""KiB by which a run may grow."""
HERE = Path(__file__).parent


class Run:
    """Feeds many inputs, and counts what became of them."""

    def __init__(self, name, count):
        self.name = name
        self.count = max(1, int(count * SCALE))
        self.outcomes = Counter()
        self.failures = []
        self.longest = 0.0

    def each(self):
        """A random generator for each input; what fails can be repeated by its number."""
        for number in range(self.count):
            self.number = number
            yield random.Random(f"{SEED} {self.name} {number}")

    @contextlib.contextmanager
    def guarded(self):
        started = time.monotonic()
        try:
            with _alarm(LONGEST):
                yield
            self.outcomes["accepted"] += 1
        except OddtocError as error:
            self.outcomes[type(error).__name__] += 1
            if len(error.message.splitlines()) != 1 or not error.message.isprintable():
                self.failures.append((self.number, f"unprintable: {error.message!r}"))
        except Exception as error:
            self.outcomes["FAILED"] += 1
            place = traceback.extract_tb(sys.exc_info()[2])[-1]
            self.failures.append((self.number, f"{error!r} at {place.filename}:{place.lineno}"))
        self.longest = max(self.longest, time.monotonic() - started)

    def report(self):
        print(f"\n{self.name}: {self.count} inputs, longest {self.longest:.2f} s, {dict(self.outcomes)}")
        assert not self.failures, f"{len(self.failures)} failures: {self.failures[:10]}"


@contextlib.contextmanager
def _alarm(seconds):
    def ring(*_):
        raise AssertionError(f"it takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def bounded_memory(sound):
    del sound  # what it takes is not the input's doing
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Patch objects as they should be."""
    folder = tmp_path_factory.mktemp("whole")
    samples = HERE.parent.parent / "src/oddtoc/samples"
    return [compile_patch(samples / f"{name}.c", folder / f"{name}.o") for name in ("cmdline", "putc")]


@pytest.fixture(scope="module")
def guest(guest_factory):
    return guest_factory("6.1")


@pytest.fixture(scope="module")
def sound(guest, objects):
    """A copy of a guest with all the memory that a session asks for; two patches and a reverted one are recorded."""
    whole = Image.open(guest.vmlinux)
    with Session(QemuTarget.connect(guest.debug_socket), whole) as session:
        for patch in (objects[0], objects[0], objects[1]):
            if any(s.record.name == patch.name and s.present for s in session.status()):
                session.revert(patch.name)
            session.apply(session.plan(patch, mechanism="guarded/slot"))
        with session.target.stopped() as stopped:
            memory = Memory(lambda address, size: stopped.read_many([(address, size)])[0])
            cpus = stopped.cpus()
            for choice in ("status", "apply", "replace", "revert", "gc"):
                with contextlib.suppress(OddtocError):
                    operate(new_session(Copy(memory, cpus), session), objects[0], choice)
            memory.fetch = None
    return new_session(Copy(memory, cpus), session)


def test_images(objects, tmp_path):
    source = tmp_path / "small.c"
    source.write_text("int counter; int add(int x) { return counter += x; } int one(void) { return add(1); }")
    compiler = tool("gcc")
    seeds = []
    for number, flags in enumerate(("-fPIC -shared -nostdlib", "-c -mcmodel=large -pg -mprofile-kernel", "-c -fPIC")):
        path = tmp_path / f"whole{number}"
        os.spawnv(os.P_WAIT, shutil.which(compiler), [compiler, "-O2", *flags.split(), str(source), "-o", str(path)])
        seeds.append(path.read_bytes())
    seeds.append(objects[0].content)
    places = [elf_places(seed) for seed in seeds]
    run, path = Run("images", 500), tmp_path / "damaged"
    for rng in run.each():
        seed = rng.randrange(len(seeds))
        path.write_bytes(damaged(rng, seeds[seed], places[seed]))
        with run.guarded():
            image(path)
    run.report()


def test_patch_objects(objects, sound, tmp_path, monkeypatch):
    # looking for similar names among all of a kernel's takes half a second, and is no business of this
    monkeypatch.setattr("oddtoc.image.symbols.close_names", lambda *_arguments, **_options: [])
    places = [elf_places(patch.content) for patch in objects]
    run, path = Run("patch objects", 200), tmp_path / "damaged.o"
    for rng in run.each():
        seed = rng.randrange(len(objects))
        path.write_bytes(damaged(rng, objects[seed].content, places[seed]))
        with run.guarded():
            patch_object(path, sound, rng.choice(("auto", "shared-toc", "guarded/slot", "odd-toc/cr4")))
    run.report()
    assert run.outcomes["accepted"] > run.count // 20


def entries(memory):
    """(header fields, body) of each entry that stands in a journal."""
    found, offset = [], 0
    while memory[offset : offset + 8] == MAGIC:
        _, state, capacity, length, _ = HEADER.unpack_from(memory, offset)
        found.append((state, memory[offset + HEADER.size : offset + HEADER.size + length]))
        offset += capacity
    return found


def test_records(objects, sound):
    """The journal is damaged, its checksums are right more often than not, and every command meets it."""
    room = sound.kernel.rooms.journal
    whole = sound.target.read(room.start, 4096)
    known = entries(whole)
    assert len(known) >= 2
    run = Run("records", 400)
    for rng in run.each():
        if rng.random() < 0.8:
            picks = [rng.choice(known) for _ in range(rng.choice((1, 2, 3)))]
            journal = b"".join(damaged_entry(rng, HEADER, MAGIC, body, state) for state, body in picks)
        else:
            journal = damaged(rng, whole.rstrip(b"\0") + bytes(128))
        copy = Copy(sound.target.memory, sound.target.vcpus)
        copy.written[room.start] = journal.ljust(len(whole), b"\0")[: room.size]
        session = new_session(copy, sound)
        with run.guarded():
            operate(session, objects[rng.randrange(2)], rng.choice(("status", "apply", "replace", "revert", "gc")))
    run.report()


def test_guests(objects, sound):
    """Any memory of the kernel lies, now and then or all the time, and so do registers."""
    run = Run("guests", 50)
    for rng in run.each():
        lies, often = {}, rng.choice((0.001, 0.01, 0.1))

        def spoil(address, data, rng=rng, lies=lies, often=often):
            if rng.random() < often:
                lies[address] = _lie(rng, data)
            return lies.get(address, data)[: len(data)].ljust(len(data), b"\0")

        copy = Copy(sound.target.memory, damaged_cpus(rng, sound.target.vcpus), spoil)
        with run.guarded():
            operate(new_session(copy, sound), objects[0], rng.choice(("apply", "revert", "gc", "replace")))
    run.report()


def _lie(rng, data):
    if len(data) >= 8 and rng.random() < 0.7:
        start = rng.randrange(len(data) // 8) * 8
        word = rng.choice(
            (*ODD[8], 0xC000000001000000, rng.getrandbits(64), int.from_bytes(data[start:][:8], "little"))
        )
        return data[:start] + struct.pack("<Q", word) + data[start + 8 :]
    return damaged(rng, data) if rng.random() < 0.9 else rng.randbytes(len(data))


def test_debug_servers(guest, sound):
    """Every packet that a server sends may be another, a broken one, several, or none."""
    address = sound.kernel.rooms.text.start
    answers = answers_of(guest.debug_socket, address)
    packets = [one for replies in answers.values() for one in replies]
    run = Run("debug servers", 450)
    for rng in run.each():
        often = rng.choice((0.02, 0.05, 0.3))

        def damage(data, rng=rng, often=often):
            return _hostile(rng, data, packets) if rng.random() < often else data

        with run.guarded():
            protocol(Server(answers, damage), address)
    run.report()


def _hostile(rng, data, packets):
    kind, payload = rng.random(), data[1:-3]
    if kind < 0.35:
        payload = damaged(rng, payload)
    elif kind < 0.5:
        payload = rng.choice(packets)[1:-3]
    elif kind < 0.6:
        return rng.choice((b"", data[: len(data) // 2], data * 3, b"-", b"\0" * 10, b"HTTP/1.1 200 OK\r\n\r\n"))
    elif kind < 0.7:
        payload = rng.choice((b"", b"OK", b"E14", b"W00", b"X09", b"T05thread:7fffffff;", b"l", b"m", b"O", b"Ozz"))
    elif kind < 0.8:
        payload = b"0*~" * rng.choice((1, 100, 5000))
    elif kind < 0.9:
        payload = rng.choice((b"l", b"m")) + _BOMB
    else:
        return damaged(rng, data)
    payload = payload.replace(b"$", b"").replace(b"#", b"")
    return b"$%b#%02x" % (payload, sum(payload) % 256)


_BOMB = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaaaaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % (letter, *[letter - 1] * 8) for letter in range(98, 110)
) + b'%s]><target><reg name="&m;" bitsize="64"/></target>' % b""  # fmt: skip


def small_btf():
    """int; struct inner {int value;}; struct outer {int first; struct inner; }; a function and its prototype."""
    strings = b"\0int\0inner\0value\0outer\0first\0call\0argument\0"

    def at(name):
        return strings.index(b"\0" + name + b"\0") + 1

    def entry(name, kind, count, size, *rest):
        return struct.pack(f"<{3 + len(rest)}I", at(name) if name else 0, kind << 24 | count, size, *rest)

    types = [
        entry(b"int", 1, 0, 4, 32),
        entry(b"inner", 4, 1, 4, at(b"value"), 1, 0),
        entry(b"outer", 4, 2, 8, at(b"first"), 1, 0, 0, 2, 32),
        entry(b"", 2, 0, 3),
        entry(b"", 13, 1, 1, at(b"argument"), 4),
        entry(b"call", 12, 0, 5),
    ]
    body = b"".join(types)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings


def test_btf():
    whole = small_btf()
    places = [(offset, 4) for offset in range(4, len(whole) - 44, 4)]
    run = Run("BTF", 200)
    for rng in run.each():
        data = damaged(rng, whole, places) if run.number else whole
        with run.guarded():
            types = Btf(data)
            for _ in types.layouts():
                pass
            for ask in (types.members, types.size, types.prototype, lambda name, t=types: t.offset(name, "value")):
                for name in ("inner", "outer", "call"):
                    with contextlib.suppress(SymbolError):
                        ask(name)
        assert run.number or run.outcomes == {"accepted": 1}
    run.report()
