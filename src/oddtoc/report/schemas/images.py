"""The answers of the commands about images, kernels and guests."""

from __future__ import annotations

from typing import Final

from oddtoc.report.schemas.parts import (
    Schema,
    address,
    count,
    either,
    flag,
    listing,
    nullable,
    record,
    seconds,
    text,
    texts,
)
from oddtoc.scan.between import STATES
from oddtoc.scan.schema import TABLES, Field, Kind

_GUEST_PARTS: Final[dict[str, Schema]] = {
    "name": text("its name: guest:NAME is the target"),
    "kernel": text("what runs in it"),
    "state": text("whether it ended by itself", "running", "ended"),
    "pid": count("QEMU's process"),
    "smp": count("vCPUs"),
    "memory": text("as QEMU takes it"),
    "vmlinux": text("the kernel's image"),
    "debug_socket": text("where its debug server listens"),
    "qmp_socket": text("where QEMU's monitor listens"),
    "console_log": text("what its console has printed"),
}
BOOT: Final = either(
    "the guest that runs, or would",
    record("the guest", **_GUEST_PARTS, seconds=seconds("how long it took to come up")),
    record("with --dry-run", command=texts("QEMU's command, word by word")),
)
GUESTS: Final = listing("the guests of this user", record("a guest", **_GUEST_PARTS))
GUEST_RUN: Final = record(
    "a command that has run",
    guest=text("the guest"),
    command=text("what its shell was given"),
    status=count("the exit status; 128 + N when signal N ended it"),
    stdout=text("what it printed"),
    stderr=text("what it printed on standard error"),
)
GUEST_STOP: Final = record("the guests that were stopped", stopped=texts("their names"))

KERNELS: Final = listing(
    "kernels on this machine",
    record(
        "a kernel",
        series=text("such as 6.1"),
        release=text("what uname -r says there"),
        version=text("of the Debian package"),
        vmlinux=text("the image"),
        modules=text("the folder of its modules"),
        config=text("its configuration"),
        busybox=text("a static busybox for guests"),
    ),
)

INSPECT: Final = listing(
    "the functions that were asked for, in that order",
    record(
        "a function's entry",
        function=text("its name"),
        global_entry=address("where it is called from other objects"),
        local_entry=address("where it is called from its own object"),
        size=count("bytes; 0 when the image does not tell"),
        toc_setup=text("how r2 is computed", "pair", "absolute", "loaded", "none", "pcrel"),
        toc=nullable(address("its object's TOC pointer")),
        mark=nullable(address("the word that can be made odd")),
        mark_word=nullable(address("that word")),
        marked=flag("whether it is odd now"),
        site=nullable(address("the ftrace site")),
        site_kind=nullable(text("how ftrace attaches")),
        site_word=nullable(address("the word there")),
        behind=nullable(address("the word behind the site, which becomes the branch")),
        words=listing(
            "the words of the entry",
            record(
                "a word",
                address=address("where"),
                word=address("it"),
                text=text("in assembly"),
                role=text("what it is"),
            ),
        ),
    ),
)

_TOTALS: Final = {name: count(field.meaning) for name, field in TABLES["images"].items() if field.kind is Kind.NUMBER}


def _rows(table: str) -> Schema:
    parts = {name: _column(field) for name, field in TABLES[table].items()}
    return listing(f"the table {table}, as far as it was asked for", record("a row", **parts))


def _column(field: Field) -> Schema:
    if field.kind is Kind.NUMBER:
        return count(field.meaning)
    return nullable(address(field.meaning)) if field.kind is Kind.ADDRESS else text(field.meaning)


SCAN: Final = either(
    "what whole images hold, or what two of them share",
    record(
        "a scan",
        {name: _rows(name) for name in ("functions", "jumps", "room")},
        images=_rows("images"),
        totals=record("sums over all images", **_TOTALS),
        failed=listing("what could not be scanned", record("a file", name=text("its path"), reason=text("why"))),
    ),
    record(
        "with --between",
        functions=_rows("comparison"),
        states=record("how many functions are in each state", **{state: count(state) for state in STATES}),
        only_a=texts("images that only the first has"),
        only_b=texts("images that only the second has"),
    ),
)

REPORT: Final = record("the page that was written", path=text("its file"), sections=texts("what is on it"))
