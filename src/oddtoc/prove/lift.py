"""Instructions to operations: pypcode's p-code, evaluated on values that may be unknown.

pypcode's model of these instructions is complete in CR and the general registers. XER is not right (`Registers.write`
makes it unknown), and the two low bits of branch targets in LR and CTR are not masked (done here).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import z3
from pypcode import BadDataError, Context, OpCode, PcodeOp, UnimplError, Varnode

from oddtoc.prove.bits import Bits, Term, binary, comparison, folded, number, resized, shift, unary
from oddtoc.prove.machine import Access, Machine
from oddtoc.prove.memory import Possible, Range, Store

_LANGUAGE = "PowerPC:LE:64:A2ALT"
_Evaluate = Callable[[list[Bits], int], Bits]


class UnfollowableError(Exception):
    """An instruction can't be followed: no instruction, or one with an effect that has no model. Stays in this room."""


_EVALUATE: dict[OpCode, _Evaluate] = {
    OpCode.COPY: lambda inputs, size: resized(inputs[0], size),
    OpCode.INT_ADD: binary(operator.add),
    OpCode.INT_SUB: binary(operator.sub),
    OpCode.INT_AND: binary(operator.and_),
    OpCode.INT_OR: binary(operator.or_),
    OpCode.INT_XOR: binary(operator.xor),
    OpCode.INT_MULT: binary(operator.mul),
    OpCode.INT_NEGATE: unary(operator.invert),
    OpCode.INT_2COMP: unary(operator.neg),
    OpCode.INT_LEFT: shift(operator.lshift),
    OpCode.INT_RIGHT: shift(z3.LShR),
    OpCode.INT_SRIGHT: shift(operator.rshift),
    OpCode.INT_EQUAL: comparison(operator.eq),
    OpCode.INT_NOTEQUAL: comparison(operator.ne),
    OpCode.INT_LESS: comparison(z3.ULT),
    OpCode.INT_LESSEQUAL: comparison(z3.ULE),
    OpCode.INT_SLESS: comparison(operator.lt),
    OpCode.INT_SLESSEQUAL: comparison(operator.le),
    OpCode.INT_CARRY: comparison(lambda a, b: z3.Not(z3.BVAddNoOverflow(a, b, signed=False))),
    OpCode.INT_SCARRY: comparison(
        lambda a, b: z3.Not(z3.And(z3.BVAddNoOverflow(a, b, signed=True), z3.BVAddNoUnderflow(a, b)))
    ),
    OpCode.INT_SBORROW: comparison(
        lambda a, b: z3.Not(z3.And(z3.BVSubNoOverflow(a, b), z3.BVSubNoUnderflow(a, b, signed=True)))
    ),
    OpCode.INT_ZEXT: lambda inputs, size: resized(inputs[0], size),
    OpCode.INT_SEXT: lambda inputs, size: resized(inputs[0], size, signed=True),
    OpCode.SUBPIECE: lambda inputs, size: inputs[0].part(inputs[1].number or 0, size),
    OpCode.PIECE: lambda inputs, size: folded(size, z3.Concat(inputs[0].term, inputs[1].term)),
    OpCode.BOOL_AND: binary(operator.and_),
    OpCode.BOOL_OR: binary(operator.or_),
    OpCode.BOOL_XOR: binary(operator.xor),
    OpCode.BOOL_NEGATE: lambda inputs, size: binary(operator.xor)([inputs[0], number(1, 1)], size),
}


@dataclass(frozen=True)
class Outcome:
    """Where an instruction leads, on which condition (None: always), and the machine behind it.

    `fault` says why it leads nowhere.
    """

    machine: Machine
    condition: Term | None
    target: Bits
    fault: str | None = None


@cache
def _context() -> Context:
    return Context(_LANGUAGE)


@cache
def _translated(word: int, address: int) -> tuple[PcodeOp, ...]:
    try:
        translation = _context().translate(word.to_bytes(4, "little"), address, max_instructions=1)
    except (BadDataError, UnimplError) as error:
        raise UnfollowableError(f"the word {word:#010x} at {address:#x} is no instruction") from error
    return tuple(translation.ops)


@cache
def disassembled(word: int, address: int) -> str:
    """The assembly of a word, as pypcode writes it."""
    try:
        (instruction,) = _context().disassemble(word.to_bytes(4, "little"), address).instructions
    except (BadDataError, UnimplError, ValueError):
        return f".long {word:#010x}"
    return f"{instruction.mnem} {instruction.body}".strip()


def step(machine: Machine, word: int, address: int, possible: Possible) -> list[Outcome]:
    """Run one instruction.

    Args:
        machine: the state before it; not changed.
        word: the instruction.
        address: where it stands.
        possible: whether a condition can be true on this path.

    Returns:
        The ways on, one or two.

    Raises:
        UnfollowableError: the word is no instruction, or does something that has no model.
    """
    return _run(machine.copy(), _translated(word, address), 0, {}, address, possible)


def _run(
    machine: Machine, ops: tuple[PcodeOp, ...], index: int, scratch: dict[int, Bits], address: int, possible: Possible
) -> list[Outcome]:
    while index < len(ops):
        op = ops[index]
        code = op.opcode
        if code in (OpCode.BRANCH, OpCode.CALL):
            return [Outcome(machine, None, _target(op.inputs[0]))]
        if code in (OpCode.BRANCHIND, OpCode.CALLIND, OpCode.RETURN):
            target = _read(machine, scratch, op.inputs[0])
            return [Outcome(machine, None, folded(8, target.term & ~3))]
        if code is OpCode.CBRANCH:
            return _branch(machine, ops, index, scratch, address, possible)
        if code is OpCode.CALLOTHER:
            return _trap(machine, ops, index, scratch, address, possible)
        _execute(machine, op, scratch, possible)
        index += 1
    return [Outcome(machine, None, number(address + 4, 8))]


def _branch(
    machine: Machine, ops: tuple[PcodeOp, ...], index: int, scratch: dict[int, Bits], address: int, possible: Possible
) -> list[Outcome]:
    place, chosen = ops[index].inputs
    taken = z3.simplify(_read(machine, scratch, chosen).term != 0)
    ways: list[Outcome] = []
    if not z3.is_false(taken):
        if place.space.name == "const":  # inside the p-code of this very instruction
            inside = _run_or_fail(machine.copy(), ops, index + place.offset, dict(scratch), address, possible)
        else:
            inside = [Outcome(machine.copy(), None, _target(place))]
        ways += [_only_if(taken, way) for way in inside]
    if not z3.is_true(taken):
        behind = _run_or_fail(machine, ops, index + 1, dict(scratch), address, possible)
        ways += [_only_if(z3.Not(taken), way) for way in behind]
    return ways


def _trap(
    machine: Machine, ops: tuple[PcodeOp, ...], index: int, scratch: dict[int, Bits], address: int, possible: Possible
) -> list[Outcome]:
    """tw, td and their immediate forms, which pypcode only names (Power ISA, book I, 3.3.11)."""
    name = ops[index].inputs[0].getUserDefinedOpName()
    if not name.startswith("trap"):
        raise UnfollowableError(f"no model of {name}")
    chosen, *operands = (_read(machine, scratch, node) for node in ops[index].inputs[1:])
    size = 8 if "DoubleWord" in name else 4
    left, right = (resized(operand, size, signed=True).term for operand in operands)
    kinds = (left < right, left > right, left == right, z3.ULT(left, right), z3.UGT(left, right))
    wanted = chosen.number or 0
    taken = z3.simplify(z3.Or(*(kind for bit, kind in zip((16, 8, 4, 2, 1), kinds, strict=True) if wanted & bit)))
    behind = _run_or_fail(machine.copy(), ops, index + 1, scratch, address, possible)
    trap = Outcome(machine, taken, number(address, 8), f"a trap at {address:#x}")
    return [*(_only_if(z3.Not(taken), way) for way in behind), trap]


def _run_or_fail(
    machine: Machine, ops: tuple[PcodeOp, ...], index: int, scratch: dict[int, Bits], address: int, possible: Possible
) -> list[Outcome]:
    """One side of a branch: that the other side has no model is no reason to lose this one."""
    try:
        return _run(machine, ops, index, scratch, address, possible)
    except UnfollowableError as error:
        return [Outcome(machine, None, number(address, 8), str(error))]


def _only_if(condition: Term, way: Outcome) -> Outcome:
    both = condition if way.condition is None else z3.And(condition, way.condition)
    return Outcome(way.machine, both, way.target, way.fault)


def _target(place: Varnode) -> Bits:
    if place.space.name != "ram":
        raise UnfollowableError(f"a branch inside an instruction, to {place.offset:#x}")
    return number(place.offset, 8)


def _execute(machine: Machine, op: PcodeOp, scratch: dict[int, Bits], possible: Possible) -> None:
    if op.opcode is OpCode.IMARK:
        return
    if op.opcode is OpCode.STORE:
        address, value = (_read(machine, scratch, node) for node in op.inputs[1:])
        _store(machine, z3.simplify(address.term), value)
        return
    output = op.output
    if output is None:
        raise UnfollowableError(f"no model of {op.opcode}")
    if op.opcode is OpCode.LOAD:
        place = z3.simplify(_read(machine, scratch, op.inputs[1]).term)
        machine.accesses += (Access(Range(place, output.size), written=False),)
        _write(machine, scratch, output, machine.memory.read(place, output.size, possible))
        return
    evaluate = _EVALUATE.get(op.opcode)
    if evaluate is None:
        raise UnfollowableError(f"no model of {op.opcode}")
    _write(machine, scratch, output, evaluate([_read(machine, scratch, node) for node in op.inputs], output.size))


def _store(machine: Machine, address: Term, value: Bits) -> None:
    machine.accesses += (Access(Range(address, value.size), written=True),)
    machine.memory = machine.memory.after(Store(address, value))


def _read(machine: Machine, scratch: dict[int, Bits], node: Varnode) -> Bits:
    if node.space.name == "const":
        return number(node.offset, node.size)
    if node.space.name == "unique" and node.offset in scratch:
        return scratch[node.offset].part(0, node.size)
    if node.space.name != "register":
        raise UnfollowableError(f"an operand in {node.space.name}")
    return machine.registers.read(node.offset, node.size)


def _write(machine: Machine, scratch: dict[int, Bits], node: Varnode, value: Bits) -> None:
    if node.space.name == "unique":
        scratch[node.offset] = value
    elif node.space.name == "register":
        machine.registers.write(node.offset, value)
    else:
        raise UnfollowableError(f"a result in {node.space.name}")
