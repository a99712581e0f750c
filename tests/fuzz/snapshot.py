"""A guest that is no more: what was once read of one, as a target that can be damaged at will.

Everything that a session does is done once to a real guest that stands still, whose writes are kept from it. What was
read of it then is all the memory that the copy has.
"""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

from oddtoc.errors import FaultError, WriteFaultError
from oddtoc.target.qemu import Cpu, Pause

PAGE = 4096


class Memory:
    """Pages of a guest; `fetch(address, size)` gives more of them, as long as there is a guest."""

    def __init__(self, fetch):
        self.fetch = fetch
        self.pages = {}

    def read(self, address, size):
        first, last = address // PAGE, (address + max(size, 1) - 1) // PAGE
        if last - first > 1 << 13:
            raise FaultError("too much", address=address, size=size)
        return b"".join(map(self.page, range(first, last + 1)))[address % PAGE :][:size]

    def page(self, number):
        if number not in self.pages:
            if self.fetch is None:
                raise FaultError("there is no memory", address=number * PAGE, size=PAGE)
            self.pages[number] = self.fetch(number * PAGE, PAGE)
        return self.pages[number]


class Copy:
    """Has what a session asks of a target.

    Args:
        memory: of a guest.
        cpus: its vCPUs.
        spoil: spoil(address, bytes) -> bytes, for everything that is read.
    """

    name = "a copy"

    def __init__(self, memory, cpus, spoil=lambda _address, data: data):
        self.memory = memory
        self.vcpus = cpus
        self.spoil = spoil
        self.written = {}
        self.pauses = []
        self.reads = 0

    def read(self, address, size):
        return self.read_many([(address, size)])[0]

    def read_many(self, requests):
        return [self._read(address, size) for address, size in requests]

    def _read(self, address, size):
        self.reads += size + 64
        if self.reads > 1 << 28:
            raise AssertionError("it reads without end")
        if size < 0 or not 0xC000000000000000 <= address <= address + size <= 0xD000000000000000:
            raise FaultError("not in the linear map", address=address, size=size)
        data = bytearray(self.memory.read(address, size))
        for start, piece in self.written.items():
            low, high = max(start, address), min(start + len(piece), address + size)
            if low < high:
                data[low - address : high - address] = piece[low - start : high - start]
        return self.spoil(address, bytes(data))

    def write_many(self, writes, verify=True):
        del verify
        for address, data in writes:
            if not 0xC000000000000000 <= address <= address + len(data) <= 0xD000000000000000:
                raise WriteFaultError("not in the linear map", address=address, size=len(data))
            self.written.pop(address, None)
            self.written[address] = bytes(data)

    @contextmanager
    def stopped(self):
        yield SimpleNamespace(
            round_trips=1,
            read_many=self.read_many,
            write_many=self.write_many,
            cpus=lambda: self.vcpus,
            unshare=lambda _words: None,
            look=lambda requests: (self.vcpus, self.read_many(requests)),
        )
        self.pauses.append(Pause(0.001, 1))

    def undoable(self, _cpus, _writes):
        return nullcontext()

    def close(self):
        pass


def damaged_cpus(rng, cpus):
    """The vCPUs with some registers replaced."""
    found = []
    for cpu in cpus:
        registers = dict(cpu.registers)
        for name in rng.sample(sorted(registers), k=rng.choice((0, 1, 1, 3))):
            registers[name] = rng.choice((0, 1, (1 << 64) - 1, registers["pc"], registers["r1"], rng.getrandbits(64)))
        found.append(Cpu(cpu.id, registers))
    return found
