"""Who calls a function of a kernel, or of one of its modules, from beyond 2 GiB: BPF programs and BPF trampolines."""

from __future__ import annotations

from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.live import ReadMany
from oddtoc.image.symbols import Symbol
from oddtoc.isa import NOP
from oddtoc.kernel.ftrace import FtraceRecords

_DIRECT_CALL = 1 << 24 | 1 << 23
"""FTRACE_FL_DIRECT and FTRACE_FL_DIRECT_EN (include/linux/ftrace.h): a BPF trampoline calls the function."""


def far_caller(image: Image, kernel: Image, read_many: ReadMany, symbol: Symbol, entry: Entry) -> str | None:
    """Who calls a function from beyond 2 GiB, in words; None where no way is known.

    Args:
        image: the function's.
        kernel: the kernel's, which keeps the records of all ftrace sites.
        read_many: reads live memory.
        symbol: the function.
        entry: its entry.
    """
    if users := _bpf_users(image, symbol):
        return users
    if entry.site is None or read_many([(entry.site, 4)]) == [NOP.to_bytes(4, "little")]:
        return None
    record = FtraceRecords(kernel, read_many).find(entry.site)
    return "a BPF trampoline" if record is not None and record.flags & _DIRECT_CALL else None


def _bpf_users(image: Image, symbol: Symbol) -> str | None:
    """How BPF programs may call a function.

    Helpers stand in a `struct bpf_func_proto` (include/linux/bpf.h), whose objects are named `*_proto` and begin
    with the function's address; kernel functions open to BPF are listed in .BTF_ids under
    `__BTF_ID__func__NAME__N` (include/linux/btf_ids.h).
    """
    for place in image.references(symbol.address):
        holder = image.symbols.at(place, functions_only=False)
        if holder is not None and holder.name.endswith("_proto") and holder.address == place:
            return f"BPF (helper, {holder.name})"
    if image.symbols.starting_with(f"__BTF_ID__func__{symbol.name}__"):
        return "BPF (kernel function)"
    return None
