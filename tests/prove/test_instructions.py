"""The model of instructions against real ones: every word of every trampoline, run by qemu-ppc64le on random values."""

import random
import struct
import subprocess

import z3

from oddtoc import isa
from oddtoc.build.compile import tool
from oddtoc.lab.objects import emulator
from oddtoc.mechanism.catalog import MECHANISMS
from oddtoc.prove.bits import number
from oddtoc.prove.lift import disassembled, step
from oddtoc.prove.machine import UNITS, Machine, Registers
from oddtoc.prove.memory import Memory, Unknown
from oddtoc.prove.subject import subjects

BASE = 0x20000000
REGISTERS = ("LR", "CR", "r1", "r2", "r12", "r13", "r0")
RECORD = struct.Struct("<7Q")
AREA = 128
CASES = 6
BRANCHES, TRAPS, MEMORY = (16, 18, 19), 0x7F0C0088, (32, 36, 58, 62)


def words():
    """Every word of every trampoline that stays in line: no branches, no traps."""
    every = {
        word
        for mechanism in MECHANISMS.values()
        for process in (False, True)
        for subject in subjects(mechanism, process=process)
        for word in subject.words
    }
    return sorted(word for word in every if isa.opcode(word) not in BRANCHES and word != TRAPS)


def displacement(word):
    value = isa.sign_extend(word, 16)
    return value & ~3 if isa.opcode(word) in (58, 62) else value


def cases(found):
    """(word, register values, contents of its area) with bases that point into the area."""
    chance = random.Random(4)
    total = len(found) * CASES
    for number_, word in enumerate(word for word in found for _ in range(CASES)):
        values = {name: chance.choice([chance.getrandbits(64), chance.getrandbits(16), 0]) for name in REGISTERS}
        values["CR"] = chance.getrandbits(32)
        area = BASE + total * 2 * RECORD.size + number_ * AREA
        if isa.opcode(word) in MEMORY:
            base = f"r{word >> 16 & 31}"
            values[base] = area + AREA // 2 - displacement(word)
        yield word, values, area, chance.randbytes(AREA)


def program(cases):
    load = (
        "ld 0,0(31); mtlr 0; ld 0,8(31); mtcrf 255,0; ld 1,16(31); ld 2,24(31); ld 12,32(31); ld 13,40(31); ld 0,48(31)"
    )
    save = "; ".join(f"std {n},{at}(30)" for n, at in ((0, 48), (1, 16), (2, 24), (12, 32), (13, 40)))
    save += "; mfcr 0; std 0,8(30); mflr 0; std 0,0(30)"
    size = len(cases) * (2 * RECORD.size + AREA)
    lines = [".abiversion 2", ".globl _start", "_start: li 0,0; mtxer 0"]
    lines += [f"lis 31,{BASE >> 16}", f"lis 30,{BASE >> 16}", f"lis 29,{len(cases) * RECORD.size >> 16}"]
    lines += [f"ori 29,29,{len(cases) * RECORD.size & 0xFFFF}", "add 30,30,29"]
    for word, *_ in cases:
        lines += [load, f".long {word:#x}", save, f"addi 31,31,{RECORD.size}; addi 30,30,{RECORD.size}"]
    lines += [f"li 0,4; li 3,1; lis 4,{BASE >> 16}; lis 5,{size >> 16}; ori 5,5,{size & 0xFFFF}; sc"]
    lines += ["li 0,1; li 3,0; sc", '.section .cases,"aw"', '.incbin "cases.bin"']
    return "\n".join(lines) + "\n"


def run(folder, cases):
    """The values of the registers and the contents of the area behind each case."""
    tables = b"".join(RECORD.pack(*(values[name] for name in REGISTERS)) for _, values, _, _ in cases)
    blob = tables + bytes(len(tables)) + b"".join(contents for *_, contents in cases)
    (folder / "cases.bin").write_bytes(blob)
    (folder / "cases.s").write_text(program(cases))
    link = [f"-Wl,--section-start=.cases={BASE:#x}", "-nostdlib", "-static", "-o", "cases"]
    subprocess.run([tool("gcc"), "-mcpu=power8", "cases.s", *link], cwd=folder, check=True)
    output = subprocess.run([emulator(), folder / "cases"], capture_output=True, check=True).stdout
    assert len(output) == len(blob)
    for index in range(len(cases)):
        values = dict(zip(REGISTERS, RECORD.unpack_from(output, len(tables) + index * RECORD.size), strict=True))
        start = 2 * len(tables) + index * AREA
        yield values, output[start : start + AREA]


def modelled(word, values, area, contents):
    registers, memory = Registers(), Unknown("memory")
    for name in REGISTERS:
        if name != "CR":
            registers.units[UNITS[name]] = number(values[name], 8)
    for field in range(8):
        registers.units[UNITS[f"CR{field}"]] = number(values["CR"] >> 28 - 4 * field & 15, 1)
    registers.units[0x400] = number(0, 1)  # XER's summary overflow, as the program sets it
    for offset in range(0, AREA, 8):
        memory.know(z3.BitVecVal(area + offset, 64), number(int.from_bytes(contents[offset : offset + 8], "little"), 8))
    (outcome,) = step(Machine(registers, Memory(memory)), word, 0x1000, lambda _: True)
    machine = outcome.machine
    assert outcome.fault is None and outcome.target.number == 0x1004
    after = {name: machine.registers.unit(UNITS[name]).number for name in REGISTERS if name != "CR"}
    fields = [machine.registers.unit(UNITS[f"CR{field}"]).number for field in range(8)]
    after["CR"] = sum(value << 28 - 4 * field for field, value in enumerate(fields))
    bytes_ = b"".join(
        machine.memory.read(z3.BitVecVal(area + offset, 64), 8, lambda _: True).number.to_bytes(8, "little")
        for offset in range(0, AREA, 8)
    )
    return after, bytes_


def test_every_word_does_what_a_processor_does(tmp_path):
    found = words()
    assert len(found) > 40
    every = list(cases(found))
    for (word, values, area, contents), real in zip(every, run(tmp_path, every), strict=True):
        assert modelled(word, values, area, contents) == real, disassembled(word, 0x1000)
