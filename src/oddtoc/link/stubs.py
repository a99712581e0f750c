"""Code that a payload leaves its object by, and the islands by which calls come in from afar: words, made here.

What each may use follows from where it stands. At a call of another function r0, r11, r12 and ctr belong to nobody
(ELFv2 ABI 2.2.1.1, "volatile", and 2.3.6: linkage stubs may use them). An island stands at the entry of a patched
function, before a trampoline (mechanism/trampoline.h), and leaves it all that it looks at: r2, which is odd or not;
r12, which is the global entry or not (detection by heuristic); r11, the static chain; LR; CR0. r0 and ctr are left: a
local entry expects nothing in them, and trampolines are proven for any value of both (`oddtoc.prove`).
"""

from __future__ import annotations

from collections.abc import Sequence

from oddtoc import isa
from oddtoc.errors import RelocationError

STUB_SIZE = 20
LONG_BRANCH_SIZE = 16
ISLAND_SIZE = 24
_ADDIS_R12_R2, _ADDI_R12_R12, _LD_R12_R12, _MTCTR_R12 = 0x3D820000, 0x398C0000, 0xE98C0000, 0x7D8903A6
_LI_R0, _SLDI_R0_32, _ORIS_R0, _ORI_R0, _MTCTR_R0 = 0x38000000, 0x780007C6, 0x64000000, 0x60000000, 0x7C0903A6
_REACH = 1 << 31
_USER_SPACE = 1 << 47
"""Where mappings of a process end that has not asked for more (mmap(2); arch/powerpc/include/asm/task_size_64.h)."""

Words = Sequence[int]


def call_stub(name: str, distance: int) -> Words:
    """Saves r2 and goes to a function's global entry.

    Args:
        name: of the function, for the error.
        distance: of the entry from the payload's TOC pointer, bytes.

    Raises:
        RelocationError: that is beyond 2 GiB.
    """
    return isa.TOC_SAVE, *long_branch(name, distance)


def far_call_stub(distance: int) -> Words:
    """The same, for a function anywhere.

    Args:
        distance: of the doubleword that holds its address, from the payload's TOC pointer, bytes.
    """
    load = _ADDIS_R12_R2 | isa.high_adjusted(distance), _LD_R12_R12 | isa.low(distance)
    return isa.TOC_SAVE, *load, _MTCTR_R12, isa.BCTR


def long_branch(name: str, distance: int) -> Words:
    """Goes to code that a branch does not reach, on the same TOC pointer; it saves nothing, as a branch does not.

    Args:
        name: of the function, for the error.
        distance: of the code from the payload's TOC pointer, bytes.

    Raises:
        RelocationError: that is beyond 2 GiB.
    """
    if not -_REACH <= distance < _REACH - 0x8000:
        raise RelocationError(
            f"{name} is {distance:+#x} bytes from the payload's TOC pointer, beyond 2 GiB",
            function=name,
            advice="build with -mlongcall and -mcmodel=large",
        )
    address = _ADDIS_R12_R2 | isa.high_adjusted(distance), _ADDI_R12_R12 | isa.low(distance)
    return *address, _MTCTR_R12, isa.BCTR


def island(target: int) -> Words:
    """Goes to an address in a process by r0 and ctr alone: what r2 is can't be told at an entry.

    Raises:
        OverflowError: processes have no such address. Callers plan none.
    """
    if not 0 <= target < _USER_SPACE:
        raise OverflowError(f"{target:#x} is no address of a process")
    upper = _LI_R0 | target >> 32, _SLDI_R0_32, _ORIS_R0 | target >> 16 & 0xFFFF, _ORI_R0 | target & 0xFFFF
    return *upper, _MTCTR_R0, isa.BCTR
