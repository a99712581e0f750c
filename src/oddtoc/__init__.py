"""oddtoc: live patching for ppc64le.

    import oddtoc

    patch = oddtoc.compile_patch("cmdline.c", "cmdline.o")  # C source to patch object
    with oddtoc.Session.open("guest:6.1") as session:       # or gdb://host:port with vmlinux="..."
        plan = session.plan(patch, mechanism="auto")        # every word that would be written
        outcome = session.apply(plan)                       # one stop; outcome.commit_pause in seconds
        print(session.status())
        session.revert("cmdline")

Everything that goes wrong is an `oddtoc.OddtocError` of a narrow kind (see `oddtoc.errors`) that carries the address
and function concerned. Addresses are virtual addresses as ints, sizes are bytes, times are seconds.

Names are imported when they are first used: `import oddtoc` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oddtoc.errors import OddtocError

if TYPE_CHECKING:
    from oddtoc.build.compile import compile_patch
    from oddtoc.debian import fetch_kernel
    from oddtoc.image.elf import Image
    from oddtoc.link.object import PatchObject
    from oddtoc.live.session import Session
    from oddtoc.target.guest import Guest, boot
    from oddtoc.trace.tracer import Tracer

_HOMES = {
    "Guest": "oddtoc.target.guest",
    "Image": "oddtoc.image.elf",
    "PatchObject": "oddtoc.link.object",
    "Session": "oddtoc.live.session",
    "Tracer": "oddtoc.trace.tracer",
    "boot": "oddtoc.target.guest",
    "compile_patch": "oddtoc.build.compile",
    "fetch_kernel": "oddtoc.debian",
}

__all__ = ["Guest", "Image", "OddtocError", "PatchObject", "Session", "Tracer", "boot", "compile_patch", "fetch_kernel"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oddtoc' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
