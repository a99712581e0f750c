"""Why an instruction is there: remarks told from its effect, whatever the mechanism."""

from __future__ import annotations

from collections.abc import Mapping

from oddtoc import isa
from oddtoc.explain.trace import Map, Moment, State

PATCHED_TOC = "patched object's TOC"
CALLERS_TOC = "caller's TOC"


def remark(place: str, moment: Moment, after: State, found: Map, meanings: Mapping[int, str]) -> str:
    """One line about an instruction, empty where there is nothing to say.

    Args:
        place: whose instruction it is (a `Place`).
        moment: the instruction and the state before it.
        after: the state behind it.
        found: where the parts of the call are.
        meanings: value to what it is.
    """
    tellers = {
        "caller": _caller,
        "called first": _chain,
        "global entry": _entry,
        "site": _site,
        "trampoline": _trampoline,
        "replacement": _replacement,
        "return helper": _helper,
        "caller again": _back,
    }
    return tellers[place](moment, after, found, meanings)


def _caller(moment: Moment, after: State, found: Map, _: Mapping[int, str]) -> str:
    if moment.word == isa.TOC_SAVE:
        return "a caller in another object saves its own r2"
    if after.registers["lr"] == moment.state.pc + 4 and moment.state.registers["pc"] + 4 != after.pc:
        if after.pc == found.local_entry == found.global_entry:
            return "a call; the function has one entry, without TOC set-up"
        if after.pc == found.global_entry:
            stub = " through a PLT stub, which is left out" if moment.through_stub else ""
            return f"a call of the global entry{stub}: r12 holds its address"
        if after.pc == found.local_entry:
            return _local(moment, found)
        return "a call of another function, which will jump on to this one"
    return ""


def _local(moment: Moment, found: Map) -> str:
    if moment.through_stub:
        return "a call through a PLT stub, which is left out: to the local entry, as both have one TOC pointer"
    if isa.branch_target(moment.state.pc, moment.word) in (None, found.local_entry):
        return "a local call: the caller expects r2 back unchanged"
    return "a call of another function, which is left out: it has jumped on to this one"


def _chain(moment: Moment, after: State, found: Map, _: Mapping[int, str]) -> str:
    if after.pc == found.local_entry:
        return "a sibling call: LR still leads to the first caller, in another object"
    if after.registers["r2"] == found.toc != moment.state.registers["r2"]:
        return "r2 becomes the patched object's TOC pointer; no mark here"
    return ""


def _entry(moment: Moment, after: State, found: Map, _: Mapping[int, str]) -> str:
    if after.registers["r2"] & 1 and moment.state.registers["r2"] != after.registers["r2"]:
        return "the mark: the immediate is odd, and so r2 says that the call came this way"
    if after.registers["r2"] == found.toc and after.pc == found.local_entry:
        return "r2 becomes the patched object's TOC pointer; this mechanism marks nothing"
    return ""


def _site(moment: Moment, after: State, found: Map, _: Mapping[int, str]) -> str:
    if moment.state.pc != found.behind:
        return ""
    has_trampoline = found.trampoline[0] != found.trampoline[1]
    if not has_trampoline:
        return "the patch: straight to the replacement, which lives on the same TOC"
    return "the patch: to the trampoline" if after.pc == found.trampoline[0] else ""


def _trampoline(moment: Moment, after: State, found: Map, meanings: Mapping[int, str]) -> str:
    before, now = moment.state.registers, after.registers
    if isa.opcode(moment.word) == 16:
        return "taken" if after.pc != moment.state.pc + 4 else "not taken"
    if isa.opcode(moment.word) == 18:
        return _into_replacement(moment)
    if moment.word & 0xFC1FFFFF == 0x70000001 and moment.word >> 21 & 31 == 2:
        odd = (
            "odd: a global call, the caller restores r2 itself" if before["r2"] & 1 else "even: not by the marked entry"
        )
        return f"is r2 odd? It is {odd}"
    if before["r2"] & 1 and now["r2"] == found.toc:
        return "r2 is straight again"
    if now["r0"] != before["r0"] and moment.word & 0xFC1F0000 == 0x800C0000:
        return f"the word at the return address: {_is_reload(now['r0'])}"
    if stored := _stored(moment.state, after, meanings):
        return stored
    if now["r2"] != before["r2"]:
        return f"r2 becomes the {meanings.get(now['r2'], 'replacement')}"
    return "r12 becomes the return address" if moment.word == 0x7D8802A6 else ""


def _is_reload(word: int) -> str:
    if word == isa.TOC_RELOAD:
        return "ld r2,24(r1), so somebody restores r2 there"
    return "not ld r2,24(r1), so nobody restores r2 there"


def _stored(before: State, after: State, meanings: Mapping[int, str]) -> str:
    if before.header[12] != after.header[12]:
        return "borrowed: the distance r2 - LR waits in the reserved word"
    if before.header[24] != after.header[24]:
        what = "the return address" if after.header[24] == before.registers["lr"] else "r2"
        lost = ", over what the caller will reload" if meanings.get(before.header[24]) == CALLERS_TOC else ""
        return f"borrowed: {what} waits in the TOC save doubleword{lost}"
    return ""


def _into_replacement(moment: Moment) -> str:
    if isa.is_link(moment.word):
        return "into the replacement; LR becomes the return helper, which stands right here"
    return "into the replacement; it returns to LR, with no way back through here"


def _replacement(moment: Moment, after: State, _: Map, meanings: Mapping[int, str]) -> str:
    if moment.skipped and isa.is_link(moment.word) and isa.opcode(moment.word) in (18, 19):
        return "functions that the replacement called are left out"
    if moment.skipped:
        return "the replacement is left out from here on"
    if moment.state.header[16] != after.header[16]:
        whose = meanings.get(after.header[16], "")
        return f"saves LR in the caller's frame, as every function may{f': {whose}' if whose else ''}"
    if moment.word == isa.BLR:
        return f"returns: {meanings.get(after.pc, 'to its caller')}"
    return ""


def _helper(moment: Moment, after: State, found: Map, meanings: Mapping[int, str]) -> str:
    before, now = moment.state.registers, after.registers
    if moment.word == isa.BLR:
        return "back to the caller"
    if now["lr"] != before["lr"]:
        return "LR is the caller's again"
    if moment.state.header[24] != after.header[24]:
        return "r2 goes into 24(r1) too: a caller may have saved it there in its prologue"
    if now["r2"] != before["r2"]:
        meaning = meanings.get(now["r2"], "")
        if meaning == "back to the caller":
            return "r2 becomes the return address that waited there"
        return "r2 is the patched object's again" if now["r2"] == found.toc else f"r2: {meaning}" if meaning else ""
    return ""


def _back(moment: Moment, after: State, _: Map, meanings: Mapping[int, str]) -> str:
    if moment.word == isa.TOC_RELOAD:
        meaning = meanings.get(after.registers["r2"], "")
        return (
            "the caller reloads its own r2"
            if meaning == CALLERS_TOC
            else f"the caller reloads r2 and gets the {meaning}"
        )
    if moment.word & 0xFC1F0000 == 0xE8020000:
        return "the caller reads its data by r2"
    return ""
