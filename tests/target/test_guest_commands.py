"""oddtoc boot and oddtoc guest, as somebody types them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from oddtoc.target.guest import Guest


def oddtoc(*arguments):
    command = [sys.executable, "-c", "from oddtoc.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def test_boot_list_run_stop():
    name = f"typed-{os.getpid()}"
    up = oddtoc("boot", "6.1", "--name", name, "--smp", "1", "--memory", "512M", "--module", "loop", "--timeout", "300")
    assert up.returncode == 0, up.stderr
    try:
        shown = oddtoc("guest", "list").stdout.decode()
        assert "running" in next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        entry = next(
            one for one in json.loads(oddtoc("guest", "list", "--format", "json").stdout) if one["name"] == name
        )
        assert (entry["state"], entry["smp"], entry["memory"]) == ("running", 1, "512M")
        done = oddtoc("guest", "run", name, "--", "lsmod | grep -c ^loop; printf '\\0\\377'; ls /none; exit 7")
        assert (done.returncode, done.stdout) == (7, b"1\n\0\xff")
        assert b"/none" in done.stderr
        assert oddtoc("guest", "run", name, "--", "echo", "a", "|", "tr", "a", "b").stdout == b"b\n"
    finally:
        assert oddtoc("guest", "stop", name).stdout == f"{name} is stopped\n".encode()
    assert name not in [guest.name for guest in Guest.all()]


def test_a_dry_run_prints_the_very_command(guest, kernels):
    there = guest("6.1")
    running = Path(f"/proc/{there.pid}/cmdline").read_text().removesuffix("\0").split("\0")
    arguments = ["--vmlinux", str(kernels["6.1"].vmlinux), "--name", "dry", "--dry-run"]
    printed = shlex.split(oddtoc("boot", *arguments).stdout.decode())
    assert printed == [word.replace(f"guests/{there.name}/", "guests/dry/") for word in running]
    assert "dry" not in [one.name for one in Guest.all()]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["boot"], 2, "which kernel"),
        (["boot", "5.10"], 2, "known: 6.1"),
        (["boot", "6.1", "--vmlinux", "/x"], 2, "which kernel"),
        (["boot", "--vmlinux", "/x", "--module", "loop"], 2, "--module needs"),
        (["boot", "--vmlinux", "/none", "--name", "x"], 1, "/none"),
        (["boot", "6.1", "--module", "nonesuch"], 1, "there is no module nonesuch"),
        (["boot", "6.1", "--name", "a/b"], 2, "no name for a guest"),
        (["guest", "run", "nobody", "--", "true"], 1, "there is no guest nobody"),
        (["guest", "stop", "nobody"], 1, "there is no guest nobody"),
        (["guest", "stop"], 2, "which guest"),
    ],
)
def test_wrong_words(arguments, status, said):
    done = oddtoc(*arguments)
    assert done.returncode == status
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
