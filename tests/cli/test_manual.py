"""The manual page, and what shells complete."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

import oddtoc
from oddtoc.build.compile import compile_patch
from oddtoc.cli import app
from oddtoc.cli.tree import command_helps
from oddtoc.live.session import Session
from oddtoc.report.manual import manual_page

ROOT = Path(__file__).parents[2]
SAMPLES = Path(oddtoc.__file__).parent / "samples"


def test_the_page_is_of_the_commands_as_they_are():
    page = manual_page(app.info.help, version("oddtoc"), command_helps(app))
    assert (ROOT / "man/oddtoc.1").read_text() == page, "make man"


def test_the_page_is_printed_without_a_complaint():
    command = ["groff", "-man", "-Tutf8", "-ww", "-P", "-cbou", ROOT / "man/oddtoc.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for command in command_helps(app):
        assert f"oddtoc {command.name} [OPTIONS]" in done.stdout
        for written, _ in command.parameters:
            assert written.split(" ")[0] in done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A folder in front of PATH with the command, and the environment of a shell that is just that."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "oddtoc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m oddtoc "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PS1": "", "TERM": "dumb"}


def asked(environment, **variables):
    """What a shell gets that asks in its own way: with variables."""
    line = [sys.executable, "-m", "oddtoc"]
    return subprocess.run(line, env={**environment, **variables}, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def script(shell):
    """What oddtoc wants bash to read."""
    return asked(shell, _ODDTOC_COMPLETE="source_bash")


@pytest.fixture(scope="module")
def completed(shell, script):
    """What bash is told for some words, of which the last is to be completed."""

    def complete(*words):
        call = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _oddtoc_completion oddtoc; printf "%s\\n" "${COMPREPLY[@]}"'
        line = ["bash", "--norc", "-c", f"{script}\n{call}", "bash", "oddtoc", *words]
        done = subprocess.run(line, env=shell, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


def test_bash_completes_names(guest, completed, tmp_path):
    name = guest("6.1").name
    assert completed("sta") == ["status"]
    assert {"shared-toc", "guarded/slot", "auto"} <= set(completed("apply", "--mechanism", ""))
    assert completed("explain", "x.o", "f", "-m", "odd-toc/c") == ["odd-toc/cr4"]
    assert completed("boot", "6.1") == ["6.1", "6.12"]
    assert name in completed("guest", "run", "")
    assert f"guest:{name}" in completed("status", "--target", "gue")
    # bash cuts words at colons, and replaces the last piece
    assert completed("status", "--target", "guest", ":", name[:-1])[0].startswith(name[:-1])
    target = ["--target", "guest", ":", name]
    assert completed("revert", *target, "") == []
    patch = compile_patch(SAMPLES / "cmdline.c", tmp_path / "cmdline.o")
    with Session.open(f"guest:{name}") as session:
        session.apply(session.plan(patch))
    try:
        assert completed("revert", *target, "cmd") == ["cmdline"]
        assert completed("revert", *target, "other") == []
    finally:
        with Session.open(f"guest:{name}") as session:
            session.revert("cmdline")
            session.gc()
    assert completed("revert", "--target", "guest", ":", "nobody", "") == []


def test_zsh_and_fish_are_answered_in_their_languages(guest, shell):
    name = guest("6.1").name
    line = f"oddtoc status --target guest:{name[:-1]}"
    zsh = asked(shell, _ODDTOC_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert f'"guest\\\\:{name}":' in zsh
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}
    fish = asked(shell, _ODDTOC_COMPLETE="complete_fish", **action)
    assert f"guest:{name}\t" in fish


def test_a_bash_that_somebody_types_into(guest, shell, script, tmp_path):
    """The whole word stands there in the end, with its colon."""
    machine = guest("6.1")
    name = machine.name
    # other guests of this run have names that begin as this one's does: it is the only one here
    for folder in (tmp_path / "oddtoc", tmp_path / "oddtoc/guests"):
        folder.mkdir(mode=0o700)
    (tmp_path / "oddtoc/guests" / name).symlink_to(machine.debug_socket.parent)
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("bash", ["bash", "--norc", "-i"], {**shell, "XDG_RUNTIME_DIR": str(tmp_path)})
    try:
        os.write(terminal, script.encode() + b"\n")
        time.sleep(0.5)
        # control-A goes to the start of the line
        os.write(terminal, f"oddtoc status --target guest:{name[:-1]}\t\x01echo 'got' \nexit\n".encode())
        output = b""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            output += piece
    finally:
        os.waitpid(process, 0)
    assert f"got oddtoc status --target guest:{name}".encode() in output.replace(b"'got'", b"")
