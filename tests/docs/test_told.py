"""What the pages tell to type works, and prints what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oddtoc.build.compile import compile_patch
from oddtoc.cli import app
from oddtoc.cli.tree import command_helps

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
OURS = re.compile(r"\boddtoc ((?:guest |kernel )?[a-z-]+)\b([^`\n]*)")
_CHANGING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8}\b|\d+")
"""Addresses, words and numbers are others in every run."""


def blocks(page):
    return [match.groups() for match in BLOCK.finditer(page.read_text())]


@pytest.fixture
def shell(tmp_path):
    """Runs a line in an empty folder, with a world of guests, settings and logs of its own."""
    home = tmp_path / "home"
    (tmp_path / "bin").mkdir()
    home.mkdir()
    command = tmp_path / "bin/oddtoc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m oddtoc "$@"\n')
    command.chmod(0o755)
    runtime = Path(f"/tmp/oddtoc-told-{os.getpid()}")
    runtime.mkdir(mode=0o700)
    ours = {"XDG_RUNTIME_DIR": runtime, "XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home}
    environment = {**os.environ, **{name: str(path) for name, path in ours.items()}}
    environment["PATH"] = f"{command.parent}:{environment['PATH']}"

    def run(line, folder=home):
        return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True)

    run.home = home
    yield run
    run("oddtoc guest stop --all")
    shutil.rmtree(runtime)


def told(page):
    """The commands of a page with what they are said to print, and the files that it says to write, in order."""
    for language, title, text in blocks(page):
        if title:
            yield "file", title, text
        elif language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield "command", command, output


def alike(real, said):
    """Whether a real output is what a page says; lines that are just ... stand for any."""
    lines = [_CHANGING.sub("#", line) for line in said.splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + "\n" for line in lines)
    return re.fullmatch(pattern, "".join(_CHANGING.sub("#", line) + "\n" for line in real.splitlines()))


def follow(page, shell, folder=None):
    for kind, name, text in told(page):
        if kind == "file":
            ((folder or shell.home) / name).write_text(text)
            continue
        done = shell(name, folder or shell.home)
        assert "Traceback" not in done.stderr
        yield name, text, done


@pytest.mark.usefixtures("kernels")
def test_the_tutorial(shell):
    seen = []
    for name, text, done in follow(ROOT / "docs/tutorial.md", shell):
        seen.append(done.returncode)
        assert alike(done.stdout + done.stderr, text), f"{name}\n{done.stdout}{done.stderr}"
    assert len(seen) == 20 and [status for status in seen if status] == [3]


@pytest.mark.usefixtures("kernels")
def test_the_fix_of_a_cve(shell):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", shell.home / "key"], check=True)
    (shell.home / "signers").write_text(f"admin@example.org {(shell.home / 'key.pub').read_text()}")
    refused = []
    for name, text, done in follow(ROOT / "docs/howto/cve.md", shell):
        refused += [name] if done.returncode == 4 else []
        assert done.returncode in (0, 4), done
        said = done.stdout + done.stderr * (done.returncode != 0)
        if text:
            assert alike(said, text), f"{name}\n{said}"
    assert refused == ["oddtoc build --diff member.patch --kernel 6.1 -o member.o"]


def test_the_mechanism_that_fails(shell, tmp_path):
    """In a copy of the source, as the page wants it to be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    page = ROOT / "docs/howto/mechanism.md"
    for kind, name, text in told(page):
        if kind == "file":
            (copy / name).write_text(text)
            continue
        if (copy / "ctr.patch").exists():
            done = subprocess.run(["patch", "-p1", "-i", "ctr.patch"], cwd=copy, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
            (copy / "ctr.patch").unlink()
        done = shell(f"PYTHONPATH={copy / 'src'} {name}", copy)
        assert alike(done.stdout, text), done.stdout


def test_every_c_file_of_every_page_compiles(tmp_path):
    sources = [(page, text) for page in PAGES for language, _, text in blocks(page) if language == "c"]
    assert len(sources) >= 4
    for number, (page, text) in enumerate(sources):
        # the README leaves out the line that every patch begins with in its second sample
        path = tmp_path / f"{page.stem}{number}.c"
        path.write_text(text)
        compile_patch(path, path.with_suffix(".o"))


def test_every_command_and_option_that_is_named_exists():
    known = {command.name: command for command in command_helps(app)}
    named = 0
    for page in PAGES:
        for match in OURS.finditer("\n".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(), re.DOTALL))):
            name = match[1] if match[1] in known else match[1].split(" ")[0]
            if name not in known:
                continue
            written = " ".join(term for term, _ in known[name].parameters)
            ours = match[2].partition(" -- ")[0].partition("#  ")[0]
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", ours):
                assert option in written or option in ("--help", "-h"), f"{page.name}: oddtoc {name} {option}"
                named += 1
    assert named > 50
