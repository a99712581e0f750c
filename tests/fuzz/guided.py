"""Hostile input guided by coverage: atheris looks for bytes that reach new code of the readers.

python tests/fuzz/guided.py -runs=50000 [FOLDER]: the options are libFuzzer's; FOLDER keeps what reached something new.
The first byte of an input says which reader gets the rest. Anything but an answer or an OddtocError ends it with a
traceback.
"""

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["oddtoc"]):
    from oddtoc.build.compile import compile_patch
    from oddtoc.errors import OddtocError
    from oddtoc.image import Image
    from oddtoc.link.object import PatchObject
    from oddtoc.live.record import Change, FunctionRecord, Record
    from oddtoc.live.record import decode as decode_record
    from oddtoc.live.store import HEADER, MAGIC, entry_bytes, read_journal
    from oddtoc.places import Span
    from oddtoc.target.memory import read_memory
    from oddtoc.target.packets import decode as decode_packet
    from oddtoc.target.registers import CORE, decode_core, read_layout

from fuzz.mutate import damaged, elf_places

FILE = Path(tempfile.mkdtemp(prefix="oddtoc-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None), "input")


def image(data):
    FILE.write_bytes(data)
    found = Image.open(FILE)
    _ = found.notes, found.build_id, found.toc, found.sites, found.pointers
    for symbol in list(found.symbols)[:50]:
        if symbol.is_function:
            found.entry(symbol)


def patch_object(data):
    FILE.write_bytes(data)
    PatchObject.open(FILE)


def journal(data):
    room = Span(0xC000000001141000, 0xC000000001141000 + (256 << 10))
    read_journal(room, lambda address, size: data[address - room.start :][:size].ljust(size, b"\0"))


def layout(data):
    read_layout(lambda _name: data.decode("ascii", "replace"))


def registers(data):
    decode_core(LAYOUT, data)


READERS = (
    image,
    patch_object,
    journal,
    lambda data: decode_record(data, 0xC000000001141000),
    decode_packet,
    lambda data: read_memory(data.decode("ascii", "replace")),
    layout,
    registers,
)
DESCRIPTION = "<target>" + "".join(f'<reg name="{name}" bitsize="64"/>' for name in CORE) + "</target>"
LAYOUT = read_layout(lambda _name: DESCRIPTION)


def one(data):
    if not data:
        return
    with contextlib.suppress(OddtocError):
        READERS[data[0] % len(READERS)](data[1:])


def seeds(folder):
    """Inputs that are as they should be, and some that are not quite."""
    rng = random.Random(1)
    samples = Path(__file__).parent.parent.parent / "src/oddtoc/samples"
    content = compile_patch(samples / "cmdline.c", Path(tempfile.mkdtemp()) / "cmdline.o").content
    record = decode_record(RECORD, 0)
    whole = [
        (0, content),
        (1, content),
        (2, b"".join(entry_bytes(record, state) for state in (1, 2, 3)) + HEADER.pack(MAGIC, 4, 256, 0, 0)),
        (3, RECORD),
        (4, b"0*~}a" * 10),
        (5, MEMORY),
        (6, DESCRIPTION.encode()),
        (7, b"00" * 320),
    ]
    for number, data in whole:
        places = elf_places(data) if number < 2 else ()
        for copy in range(20):
            (folder / f"{number}-{copy}").write_bytes(bytes([number]) + (damaged(rng, data, places) if copy else data))


FUNCTION = FunctionRecord("f", "guarded/slot", 1024, 1040, 4096, (Change(1040, 1, 2, "branch"),))
RECORD = Record("fix", "00", 1, (FUNCTION,), {"text": Span(4096, 4352)}, states=((1, 2),)).encode()
MEMORY = b"""FlatView #0
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000003fffffff (prio 0, ram): ppc_spapr.ram
"""

if __name__ == "__main__":
    folders = [word for word in sys.argv[1:] if not word.startswith("-")]
    corpus = Path(folders[0] if folders else tempfile.mkdtemp(prefix="oddtoc-corpus-"))
    corpus.mkdir(exist_ok=True)
    seeds(corpus)
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    options += ["-max_len=65000", "-len_control=0", "-rss_limit_mb=1500", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    try:
        atheris.Fuzz()
    finally:
        FILE.unlink(missing_ok=True)
