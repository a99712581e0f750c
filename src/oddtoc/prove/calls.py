"""The kinds of call: in which state a caller can arrive at the trampoline, and what it relies on afterwards.

A kind includes its harmless variants: "a tracer may have replaced LR" also means that none has. So the condition that
repairs a kind is never empty there, and what goes wrong without it is found, not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import z3

from oddtoc.prove.bits import Term
from oddtoc.prove.scene import Scene
from oddtoc.prove.subject import EntryKind, Subject

_Assume = Callable[[Scene, "Helpers"], Sequence[Term]]


@dataclass(frozen=True)
class Helpers:
    """First words of return helpers: of the subject's own mechanism, and of all mechanisms."""

    own: tuple[int, ...]
    all: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A kind of call.

    Attributes:
        id: its name for programs.
        title: its name for readers.
        story: what happens, with the names of a counterexample's values in braces.
        assume: the z3 Booleans that make a state of this kind.
        special: who makes such calls, when neither compiled code, nor a linker, nor a JIT does by itself.
        marked_only: it exists for marked entries only.
        free: the unusual things that this kind is about; all others are out of the question (see `Scene`).
    """

    id: str
    title: str
    story: tuple[str, ...]
    assume: _Assume
    special: str | None = None
    marked_only: bool = False
    free: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Callable[[str], Call], tuple[str]]:
        return call_named, (self.id,)

    def applies(self, subject: Subject) -> bool:
        """Whether a subject can be called so."""
        return subject.marked or not self.marked_only

    def assumptions(self, scene: Scene, helpers: Helpers) -> list[Term]:
        """The z3 Booleans that make a state of this kind."""
        unusual = ("helper_in_lr", "wide_cr_save", "memory_parameters", "leaves")
        usual = [z3.Not(getattr(scene, name)) for name in unusual if name not in self.free]
        return [*usual, *self.assume(scene, helpers)]


def _direct(scene: Scene) -> list[Term]:
    """LR is where M goes on, and no helper."""
    return [scene.lr == scene.home, z3.Not(scene.in_helper_block(scene.lr))]


def _perhaps_traced(scene: Scene) -> list[Term]:
    replaced = z3.And(z3.Not(scene.reloads(scene.lr)), scene.lr != scene.home)
    return [z3.Or(scene.lr == scene.home, replaced), z3.Not(scene.in_helper_block(scene.lr))]


def _locally(scene: Scene) -> list[Term]:
    """M, in the patched object, calls the local entry."""
    same_toc = [scene.r2 == scene.toc, scene.caller_toc == scene.toc]
    return [*same_toc, scene.near(scene.home), z3.Not(scene.through_entry)]


def _globally(scene: Scene) -> list[Term]:
    """M, in whatever object, calls the global entry and restores its own r2 afterwards."""
    return [*_through_global_entry(scene), scene.reloads(scene.home)]


def _through_global_entry(scene: Scene) -> list[Term]:
    if scene.subject.entry is EntryKind.WITHOUT_TOC:
        r2 = scene.caller_toc
    else:
        r2 = scene.odd_toc if scene.subject.marked else scene.toc
    return [scene.r2 == r2, scene.r12 == scene.subject.global_entry, scene.through_entry]


def _even_though_global(scene: Scene) -> list[Term]:
    """M entered the patched object globally and restores its own r2; here r2 is even and r12 tells nothing."""
    r2 = [scene.r2 == scene.toc]
    if scene.subject.entry is EntryKind.WITHOUT_TOC:
        r2.append(scene.r2 == scene.caller_toc)
    return [z3.Or(*r2), scene.reloads(scene.home), z3.Not(scene.through_entry)]


def _window(scene: Scene, _: Helpers) -> list[Term]:
    even = [scene.r2 == scene.toc, scene.r12 == scene.subject.global_entry, scene.through_entry]
    return [*_direct(scene), *even, scene.reloads(scene.home)]


def _perhaps_helper(scene: Scene, words: Sequence[int], placed: Term) -> list[Term]:
    """LR is a helper, or else this is a local call."""
    odd = [z3.And(scene.r2 == scene.odd_toc, scene.through_entry)] if scene.subject.marked else []
    arrived = z3.Or(scene.r2 == scene.toc, *odd)
    is_word = z3.Or(*(scene.initial(scene.lr, 4) == word for word in words)) if words else z3.BoolVal(True)
    helper = z3.And(arrived, is_word, placed)
    return [z3.If(scene.helper_in_lr, helper, z3.And(*_direct(scene), *_locally(scene)))]


def _own_helper(scene: Scene, helpers: Helpers) -> list[Term]:
    in_block = scene.in_helper_block(scene.lr) if scene.subject.mechanism.helper_block else z3.BoolVal(True)
    return _perhaps_helper(scene, helpers.own, in_block)


def _any_helper(scene: Scene, helpers: Helpers) -> list[Term]:
    return _perhaps_helper(scene, helpers.all, z3.BoolVal(True))


def _assembly(scene: Scene, _: Helpers) -> list[Term]:
    same_object = scene.caller_toc == scene.toc
    return [*_direct(scene), *_through_global_entry(scene), same_object, scene.near(scene.home)]


def _jit(scene: Scene, _: Helpers) -> list[Term]:
    same_toc = [scene.r2 == scene.toc, scene.caller_toc == scene.toc]
    return [*_direct(scene), *same_toc, z3.Not(scene.reloads(scene.home)), z3.Not(scene.through_entry)]


def _directly_and_locally(scene: Scene, _: Helpers) -> list[Term]:
    return [*_direct(scene), *_locally(scene)]


def _longjmp(scene: Scene, helpers: Helpers) -> list[Term]:
    relies = [scene.saved == scene.caller_toc, z3.Not(scene.reloads(scene.home))]
    return [*_directly_and_locally(scene, helpers), *relies]


_TRACER = "a tracer that replaces the return address"
_M_RELOADS = "M goes on at {home} with ld r2,24(r1)."
_M_SAVED = "M, in {an_object} (TOC pointer {caller_toc}), saves its r2 at 24(r1)"
_LR = "LR = {lr}{traced}."

CALLS: tuple[Call, ...] = (
    Call(
        "local",
        "local call",
        ("M, in C's own object, calls C at its local entry; C is patched. r2 = {r2}, LR = {lr}.",),
        _directly_and_locally,
    ),
    Call(
        "global",
        "global call",
        (_M_SAVED + " and calls C globally; C is patched. r2 = {r2}, {parity}.", _M_RELOADS),
        lambda scene, _: [*_direct(scene), *_globally(scene)],
    ),
    Call(
        "window",
        "global call, r2 still even",
        (
            _M_SAVED + " and calls C globally. Before C's entry is marked it passes the addi,",
            "so that r2 = {r2} is even when it comes to the branch. " + _M_RELOADS,
        ),
        _window,
        marked_only=True,
    ),
    Call(
        "sibling",
        "sibling call from a global callee",
        (
            _M_SAVED + " and calls B globally.",
            "B tail-calls C locally; C is patched. r2 = {r2} is even: B's TOC pointer, and C's. " + _LR,
            _M_RELOADS,
        ),
        lambda scene, _: [*_direct(scene), *_even_though_global(scene)],
    ),
    Call(
        "helper",
        "LR is a return helper",
        ("A is patched, and its replacement tail-calls C, which is patched too. r2 = {r2}, LR = {lr}: A's helper.",),
        _own_helper,
        free=("helper_in_lr",),
    ),
    Call(
        "any-helper",
        "LR is a helper of any mechanism",
        (
            "A is patched by whatever mechanism, and its replacement tail-calls C, which is patched too.",
            "r2 = {r2}, LR = {lr}: A's helper, which waits for 24(r1) = {saved}.",
        ),
        _any_helper,
        free=("helper_in_lr",),
    ),
    Call(
        "jit",
        "far caller without reload (BPF)",
        (
            "Code of a JIT at {home}, {distance} bytes from the TOC pointer, calls C's local entry through a register;",
            "C is patched. r2 = {r2} is even, and the code does not restore it.",
        ),
        _jit,
    ),
    Call(
        "memory-parameters",
        "parameters in memory",
        ("M, in C's own object, calls C at its local entry, with parameters from 32(r1) on; C is patched. r2 = {r2}.",),
        _directly_and_locally,
        free=("memory_parameters",),
    ),
    Call(
        "assembly",
        "global call without reload",
        (
            "Assembly in C's own object calls C's global entry; C is patched. r2 = {r2}, {parity}.",
            "It goes on at {home} and relies on the r2 that C leaves.",
        ),
        _assembly,
        special="hand-written assembly",
    ),
    Call(
        "traced-local",
        "local call, LR perhaps replaced",
        ("M, in C's own object, calls C at its local entry; C is patched. r2 = {r2}.", _LR + " M goes on at {home}."),
        lambda scene, _: [*_perhaps_traced(scene), *_locally(scene)],
        special=_TRACER,
    ),
    Call(
        "traced-global",
        "global call, LR perhaps replaced",
        (_M_SAVED + " and calls C globally; C is patched. r2 = {r2}, {parity}.", _LR, _M_RELOADS),
        lambda scene, _: [*_perhaps_traced(scene), *_globally(scene)],
        special=_TRACER,
    ),
    Call(
        "traced-sibling",
        "sibling call, LR perhaps replaced",
        (
            _M_SAVED + " and calls B globally.",
            "B tail-calls C locally; C is patched. r2 = {r2} is even: B's TOC pointer, and C's.",
            _LR,
            _M_RELOADS,
        ),
        lambda scene, _: [*_perhaps_traced(scene), *_even_though_global(scene)],
        special=_TRACER,
    ),
    Call(
        "wide-cr-save",
        "64-bit store at 8(r1)",
        (
            "M, in C's own object, calls C at its local entry; C is patched. r2 = {r2}, LR = {lr}.",
            "The replacement saves CR by a 64-bit store at 8(r1), over 12(r1) too.",
        ),
        _directly_and_locally,
        special="a replacement that breaks the ABI",
        free=("wide_cr_save",),
    ),
    Call(
        "longjmp",
        "left by longjmp",
        (
            "M, in C's own object, keeps its r2 = {saved} at 24(r1) and calls C at its local entry; C is patched.",
            "LR = {lr}. The replacement calls longjmp, which brings M back to an earlier call.",
        ),
        _longjmp,
        special="longjmp",
        free=("leaves",),
    ),
)


def call_named(name: str) -> Call:
    """The kind of call with an id."""
    return next(call for call in CALLS if call.id == name)
