"""What oddtoc knows of a kernel, against the running one."""

import numpy as np
import pytest

from oddtoc.image.elf import Image
from oddtoc.kernel.ftrace import FtraceRecords
from oddtoc.kernel.room import rooms
from oddtoc.kernel.running import RunningKernel
from oddtoc.target.qemu import QemuTarget

KERNELS = ["6.1", "6.12", "7.2"]


@pytest.fixture(params=KERNELS)
def running(request, guest):
    machine = guest(request.param)
    with QemuTarget.connect(machine.debug_socket) as target:
        yield RunningKernel(Image.open(machine.vmlinux), target.read_many)


def test_every_record_of_the_kernels_tracer_is_a_site_and_every_site_has_one(running):
    """Over the whole kernel; functions of init and exit sections have no records once the kernel runs."""
    image = running.image
    records = FtraceRecords(image, running.read_many)
    live = np.sort(records.all()[:, 0])
    gone = [image.section(name) for name in (".init.text", ".exit.text")]
    kept = image.sites[~np.any([(image.sites >= s.address) & (image.sites < s.end) for s in gone], axis=0)]
    # modules that are loaded have records too, in memory of their own
    inside = live[live < image.symbols.one("_end").address]
    assert np.array_equal(inside, kept)


def test_one_record_is_found_without_reading_all(running):
    records = FtraceRecords(running.image, running.read_many)
    for site in running.image.sites[::5000]:
        found = records.find(int(site))
        assert found is None or found.ip == site
    some = int(records.all()[1234, 0])
    assert records.find(some).ip == some
    assert records.find(some + 4) is None


def test_the_paca_holds_the_toc_pointer(running):
    assert running.toc_slot == 16


def test_the_identity_is_confirmed(running):
    running.check_identity()


def test_the_room_is_empty_or_ours(running):
    """All of it is zero but for what oddtoc itself has written to the journal and behind it."""
    room = rooms(running.image)
    assert room.journal.size == 256 << 10 and room.helpers.size == 64 << 10
    assert room.text.size > 1 << 20 and room.data.size > 32 << 10
    assert room.text.end <= running.image.symbols.one("__init_begin").address
    tail = running.read_many([(room.text.end - (64 << 10), 64 << 10)])[0]
    assert not any(tail)
    data = running.read_many([(room.data.end - (16 << 10), 16 << 10)])[0]
    assert not any(data)


def test_entries_are_told_from_live_words(running):
    names = ["cmdline_proc_show", "seq_putc", "bpf_ktime_get_ns", "vfs_read"]
    symbols = [running.function(name) for name in names]
    for live, symbol in zip(running.entries(symbols), symbols, strict=True):
        cold = running.image.entry(symbol)
        assert (live.global_entry, live.local_entry, live.toc_setup, live.mark, live.site, live.behind) == (
            cold.global_entry, cold.local_entry, cold.toc_setup, cold.mark, cold.site, cold.behind,
        )  # fmt: skip
        assert live.behind is not None


def test_bpf_helpers_are_known(running):
    for name, caller in (("bpf_ktime_get_ns", "BPF (helper, bpf_ktime_get_ns_proto)"), ("cmdline_proc_show", None)):
        symbol = running.function(name)
        assert running.far_caller(symbol, *running.entries([symbol])) == caller
