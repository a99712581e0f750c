"""Guests that really boot: commands, their output and their ends."""

import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oddtoc.errors import GuestError, UsageError
from oddtoc.target import guest as guests
from oddtoc.target.guest import Guest, boot
from oddtoc.target.modules import load_order

BOOT_SECONDS = 300
ODD_SCRIPTS = [
    "",
    "   ",
    "printf '\\000\\377\\r\\n\\t%s' \"$HOME\"",
    "  echo '  two  blanks ' \\\\ \\\\n '\\0101' $((1+2)) `echo x` # a comment",
    "cat <<'END'\nline 1\n\n  line 3 äöü \\\nEND\n\n",
    "echo a; echo b >&2; (exit 3) || echo c | tr a-z A-Z",
    "false && echo no; kill -9 $$",
    "echo unfinished 'quote",
    "exec >&- 2>&-",
    f"# {'x' * 3000}\necho {'y' * 5000}",
    "trap '' TERM; exit 250",
]


@pytest.mark.parametrize("script", ODD_SCRIPTS)
def test_a_command_does_what_it_does_in_busybox_elsewhere(guest, kernels, script):
    kernel = kernels["6.1"]
    there = guest("6.1").run(f"export HOME=/root\n{script}")
    here = subprocess.run(
        ["qemu-ppc64le", str(kernel.busybox), "sh", "-s"],
        input=f"export HOME=/root\n{script}".encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert there.stdout == here.stdout
    assert there.status == (here.returncode if here.returncode >= 0 else 128 - here.returncode)
    assert bool(there.stderr) == bool(here.stderr)


def test_every_kernel_boots_with_all_its_parts(guest, kernels, series):
    done = guest(series).run("uname -r; nproc; mount")
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == [kernels[series].release, "2"]
    mounted = {line.split()[4] for line in lines if " type " in line}
    assert {"proc", "sysfs", "devtmpfs", "debugfs", "tracefs"} <= mounted
    assert done.stderr == b""


def test_a_megabyte_each_way_at_once(guest, series):
    there = guest(series)
    digest = there.run("head -c 1000000 /dev/urandom > /tmp/data; md5sum < /tmp/data").stdout.split()[0].decode()
    done = there.run("cat /tmp/data & cat /tmp/data >&2; wait; rm /tmp/data")
    assert {hashlib.md5(output).hexdigest() for output in (done.stdout, done.stderr)} == {digest}


def test_a_script_longer_than_any_buffer(guest):
    script = "".join(f": {number} {'x' * 90}\n" for number in range(600)) + "echo end"
    assert guest("6.1").run(script).stdout == b"end\n"


def test_output_comes_while_the_command_runs(guest):
    came = []
    there = guest("6.1")
    done = there.run("echo first; sleep 1; echo second", stdout=came.append)
    assert came == [b"first\n", b"second\n"]
    assert done.stdout == b"first\nsecond\n"


def test_a_process_in_the_background_goes_on(guest):
    there = guest("6.1")
    there.run("(sleep 1; echo late > /tmp/late) > /dev/null 2>&1 &")
    there.run("sleep 100 & echo $! > /tmp/sleeper")
    done = there.run("while [ ! -s /tmp/late ]; do sleep 0.1; done; cat /tmp/late; kill $(cat /tmp/sleeper)")
    assert (done.status, done.stdout) == (0, b"late\n")


def test_a_command_that_takes_too_long_is_killed_with_its_children(guest, series):
    there = guest(series)
    with pytest.raises(GuestError, match="did not end within 1 seconds"):
        there.run("trap '' TERM; sleep 4711 | sleep 4712", timeout=1)
    assert there.run("ps | grep '[s]leep 471'").stdout == b""


def test_endless_output_is_killed_too(guest):
    with pytest.raises(GuestError, match="did not end within 1 seconds"):
        guest("6.1").run("yes", timeout=1)
    assert guest("6.1").run("echo alive").stdout == b"alive\n"


def test_commands_of_several_processes_queue(guest):
    there = guest("6.1")
    answers = {}

    def run(number):
        answers[number] = there.run(f"echo {number}; sleep 0.1; echo {number} >&2")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: (done.stdout, done.stderr) for number, done in answers.items()} == {
        number: (b"%d\n" % number,) * 2 for number in range(12)
    }


def test_nothing_is_lost_in_many_short_runs(guest):
    there = guest("7.2")
    assert [there.run(f"echo {number}").stdout for number in range(60)] == [b"%d\n" % n for n in range(60)]


def test_the_next_command_ends_that_of_a_killed_host(guest):
    there = guest("6.1")
    code = f"from oddtoc.target.guest import Guest; Guest.find({there.name!r}).run('echo up > /tmp/up; sleep 4713')"
    there.run("rm -f /tmp/up")
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        while not (there.folder / "running").exists():
            time.sleep(0.01)
        time.sleep(1)
        other.kill()
    done = there.run("cat /tmp/up; ps | grep '[s]leep 4713'")
    assert done.stdout == b"up\n"


def test_a_command_with_a_nul_byte(guest):
    with pytest.raises(UsageError, match="NUL"):
        guest("6.1").run("echo \0")


def test_a_name_is_taken_once(guest, kernels):
    there = guest("6.1")
    with pytest.raises(GuestError, match="is running"):
        boot(there.vmlinux, kernels["6.1"].busybox, name=there.name)
    assert there.run("echo still here").stdout == b"still here\n"


def test_a_process_number_used_again_is_no_guest(guest):
    there = guest("6.1")
    assert not Guest(**{**there.__dict__, "pid": os.getpid()}).alive


def test_a_life(guest_factory, kernels, tmp_path):
    """One guest from its start to its end, since each of them takes seconds to boot."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho $1\n")
    tool.chmod(0o755)
    modules = load_order(kernels["7.2"].modules, ["loop", "ibmveth", "dm-snapshot"])
    there = guest_factory(
        "7.2", smp=1, memory="768M", append="oddtoc.test=1", modules=modules, files={"/opt/tool": tool}
    )
    was_given_all(there)
    is_private(there)
    does_not_answer_while_stopped(there)
    dies(there)
    lives_again(there, kernels["6.1"])


def was_given_all(there):
    loaded = there.run("lsmod").stdout.decode()
    assert all(name in loaded for name in ("loop", "ibmveth", "dm_snapshot", "dm_mod"))
    assert there.run("/opt/tool x").stdout == b"x\n"
    assert b"oddtoc.test=1" in there.run("cat /proc/cmdline").stdout
    assert there.run("nproc").stdout == b"1\n"


def is_private(there):
    for folder in (there.folder, there.folder.parent):
        status = folder.stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700)
    assert Guest.find(there.name) == there


def does_not_answer_while_stopped(there):
    with socket.socket(socket.AF_UNIX) as debugger:
        # a stop that is nobody's would be ended by its guardian
        debugger.connect(str(there.debug_socket))
        with pytest.raises(GuestError, match="does not answer"):
            there.run("true", timeout=0.2)
    assert there.run("echo again").stdout == b"again\n"


def dies(there):
    with pytest.raises(GuestError):
        there.run("echo c > /proc/sysrq-trigger; sleep 100", timeout=100)
    while there.alive:
        time.sleep(0.01)
    assert "sysrq triggered crash" in there.console_end()[0]
    with pytest.raises(GuestError, match="has ended"):
        Guest.find(there.name)
    assert Guest.find(there.name, ended=True) == there


def lives_again(there, kernel):
    modules = load_order(kernel.modules, ["loop"])
    again = boot(kernel.vmlinux, kernel.busybox, name=there.name, modules=modules, timeout=BOOT_SECONDS)
    assert b"loop" in again.run("lsmod").stdout
    again.stop()
    assert not again.alive
    assert not again.folder.exists()
    with pytest.raises(GuestError, match=f"there is no guest {there.name}"):
        Guest.find(there.name)


def failed_boot(kernels, name, **options):
    kernel = kernels["6.1"]
    with pytest.raises(GuestError) as caught:
        boot(options.pop("vmlinux", kernel.vmlinux), kernel.busybox, name=name, **options)
    assert name not in [guest.name for guest in Guest.all()]
    assert not (guests.private_folder("guests") / name).exists()
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert not any(f"guests/{name}/".encode() in command for command in commands)
    return caught.value


def test_a_kernel_that_panics(kernels):
    error = failed_boot(
        kernels, f"panics-{os.getpid()}", append="rdinit=/nothing root=/dev/nothing", timeout=BOOT_SECONDS
    )
    assert "died while it booted" in error.message
    assert "Kernel panic" in error.advice


def test_a_guest_that_takes_too_long(kernels):
    error = failed_boot(kernels, f"slow-{os.getpid()}", timeout=1)
    assert "did not come up in time" in error.message


def test_a_module_that_does_not_load(kernels):
    error = failed_boot(kernels, f"module-{os.getpid()}", modules=[("bad", b"no module")], timeout=BOOT_SECONDS)
    assert "could not load bad" in error.message


def test_a_machine_that_qemu_refuses(kernels):
    error = failed_boot(kernels, f"refused-{os.getpid()}", memory="1X")
    assert "QEMU does not start" in error.message


def test_an_interrupted_boot_leaves_nothing(kernels):
    name = f"interrupted-{os.getpid()}"
    code = (
        "from oddtoc.debian import find_kernel; from oddtoc.target.guest import boot\n"
        f"k = find_kernel('6.1'); boot(k.vmlinux, k.busybox, name={name!r})"
    )
    folder = guests.private_folder("guests") / name
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as other:
        while not (folder / "guest.json").exists():
            time.sleep(0.01)
        with pytest.raises(GuestError, match="is being started"):
            boot(kernels["6.1"].vmlinux, kernels["6.1"].busybox, name=name)
        other.send_signal(signal.SIGINT)
    assert not folder.exists()
    assert name not in [guest.name for guest in Guest.all()]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "../x", "x" * 60])
def test_names_that_are_none(kernels, name):
    with pytest.raises(UsageError, match="no name for a guest"):
        boot(kernels["6.1"].vmlinux, kernels["6.1"].busybox, name=name)


def test_a_folder_with_a_path_too_long_for_sockets(kernels, monkeypatch, tmp_path):
    base = tmp_path / ("x" * 90)
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with pytest.raises(GuestError, match="too long a path"):
        boot(kernels["6.1"].vmlinux, kernels["6.1"].busybox, name="x")


@pytest.mark.parametrize("spoil", ["symlink", "open"])
def test_a_folder_that_others_can_enter_is_refused(kernels, monkeypatch, tmp_path, spoil):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ours = tmp_path / "oddtoc"
    if spoil == "symlink":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        ours.symlink_to(tmp_path / "elsewhere")
    else:
        ours.mkdir()
        ours.chmod(0o755)
    with pytest.raises(GuestError, match="only you can enter"):
        boot(kernels["6.1"].vmlinux, kernels["6.1"].busybox, name="x")
