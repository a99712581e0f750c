"""A patch for three real guests: stopped, resumed, rolled back, killed half-way; by processes and by a cluster."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from cluster import OURS, DaskCluster
from oddtoc.build.compile import compile_patch
from oddtoc.debian import DebianKernel
from oddtoc.live.session import Session
from oddtoc.report.schemas import schema_of
from oddtoc.target.guest import Guest
from oddtoc.trust.log import log_path
from oddtoc.trust.policy import Policy

PATCHED = b"this has been live patched\n"
HARM = """
#include <oddtoc.h>
struct seq_file;
void __warn(const char *file, int line, void *caller, unsigned taint, void *registers, void *arguments);
static int my_version_proc_show(struct seq_file *file, void *data)
{
	__warn("harm.c", 1, 0, 9, 0, 0);
	return 0;
}
ODDTOC_REPLACE(vmlinux, version_proc_show, my_version_proc_show);
"""


@pytest.fixture(scope="module")
def guests(guest_factory) -> list[Guest]:
    """Two of one kernel, one of another."""
    return [guest_factory(series, smp=1, memory="512M") for series in ("6.1", "6.12", "6.1")]


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    sample = Path(__file__).parents[2] / "src/oddtoc/samples/cmdline.c"
    compile_patch(sample, tmp_path / "cmdline.o")
    return tmp_path / "cmdline.o"


@pytest.fixture
def targets(guests: list[Guest], tmp_path: Path):
    """Writes the file of targets: the second guest by its socket, with the image that it is given."""

    def write(kernel: DebianKernel, rest: str = "") -> Path:
        first, second, third = guests
        file = tmp_path / "targets"
        file.write_text(
            f"guest:{first.name} name=a\n{second.debug_socket} name=b vmlinux={kernel.vmlinux}\n"
            f"guest:{third.name} name=c {rest}\n"
        )
        return file

    yield write
    # no test leaves anything behind, whatever happened in it
    for guest in guests:
        if guest.alive:
            with Session.open(f"guest:{guest.name}") as session:
                for status in reversed(session.status()):
                    session.revert(status.record.name)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "oddtoc", "fleet", *map(str, words)]


def fleet(*words: object) -> tuple[int, dict]:
    """Status and answer of a command."""
    result = subprocess.run(
        [*command(*words), "--format", "json"], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.stdout, result.stderr
    answer = json.loads(result.stdout)
    jsonschema.validate(answer, schema_of(f"fleet {words[0]}"))
    return result.returncode, answer


def states(answer: dict) -> dict[str, str]:
    return {target["name"]: target["state"] for target in answer["targets"]}


def has(guests: list[Guest]) -> list[bool]:
    return [guest.run("cat /proc/cmdline").stdout == PATCHED for guest in guests]


def test_stops_goes_on_and_comes_back(guests, patch: Path, targets, kernels):
    words = ["apply", patch, "--targets", targets(kernels["6.1"]), "--wave", "1", "--settle", "0"]
    code, answer = fleet(*words)
    assert (code, answer["complete"], answer["stopped_by_wave"]) == (1, False, 1)
    assert states(answer) == {"a": "applied", "b": "failed", "c": "not tried"}
    assert "the running kernel is not" in answer["targets"][1]["error"]
    assert has(guests) == [True, False, False]
    file = targets(kernels["6.12"])
    code, answer = fleet(*words)
    assert (code, answer["complete"], answer["stopped_by_wave"]) == (0, True, None)
    assert states(answer) == {"a": "applied already", "b": "applied", "c": "applied"}
    assert has(guests) == [True, True, True]
    assert [target["changed"] for target in answer["targets"]] == [False, True, True]
    code, answer = fleet("status", "--targets", file)
    assert code == 0
    for target in answer["targets"]:
        assert [(one["patch"], one["condition"]) for one in target["patches"]] == [("cmdline", "applied")]
    code, answer = fleet("revert", "cmdline", "--targets", file)
    assert (code, answer["complete"]) == (0, True)
    assert has(guests) == [False, False, False]
    assert [target["patches"] for target in answer["targets"]] == [[], [], []]
    logged = [json.loads(line) for line in log_path(Policy()).read_text().splitlines()][-14:]
    done = [(line["action"], line["result"]) for line in logged if line["patch"] == "cmdline"]
    assert done.count(("apply", "done")) == 4 and done.count(("revert", "done")) == 3


def test_a_patch_that_harms_goes_no_further_than_the_canary(guests, targets, kernels, tmp_path: Path):
    (tmp_path / "harm.c").write_text(HARM)
    compile_patch(tmp_path / "harm.c", tmp_path / "harm.o")
    file = targets(kernels["6.12"])
    read = shlex.join([sys.executable, "-m", "oddtoc", "guest", "run", guests[0].name, "--", "cat /proc/version"])
    words = ["apply", tmp_path / "harm.o", "--targets", file, "--settle", "0", "--rollback-on-failure"]
    code, answer = fleet(*words, "--check", f"{read}; true")
    assert (code, answer["stopped_by_wave"]) == (1, 0)
    assert states(answer) == {"a": "rolled back", "b": "not tried", "c": "not tried"}
    code, answer = fleet("status", "--targets", file)
    assert [target["patches"] for target in answer["targets"]] == [[], [], []]
    assert [target["complaints"] for target in answer["targets"]] == [["a warning"], [], []]
    assert guests[0].run("cat /proc/version").stdout.startswith(b"Linux version 6.1")
    code, answer = fleet(*words, "--check", "test $ODDTOC_NAME != b || { echo ill; exit 3; }", "--limit", "0.5")
    assert (code, answer["stopped_by_wave"], answer["complete"]) == (1, None, False)
    assert answer["targets"][1]["error"] == "the check ended with 3: ill"
    assert states(answer) == {"a": "applied", "b": "unwell", "c": "applied"}


def test_a_dry_run_writes_nothing(guests, patch: Path, targets, kernels):
    file = targets(kernels["6.12"])
    result = subprocess.run(command("apply", patch, "--targets", file, "--dry-run"), capture_output=True, text=True)
    assert result.returncode == 0 and has(guests) == [False, False, False]
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["a", "canary"], ["b", "wave"], ["c", "wave"]]
    assert lines[-1].endswith("branch of cmdline_proc_show") and " -> " in lines[-1]
    code, answer = fleet("apply", patch, "--targets", file, "--dry-run")
    written = [word for target in answer["targets"] for word in target["would_write"]]
    assert code == 0 and len(written) == 3


def test_killed_half_way_it_goes_on(guests, patch: Path, targets, kernels):
    words = ["apply", patch, "--targets", targets(kernels["6.12"]), "--wave", "1", "--settle", "1"]
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        line = running.stdout.readline()
        while line and not line.startswith("wave 1"):
            line = running.stdout.readline()
        running.send_signal(signal.SIGKILL)
    assert "b  applied" in line and has(guests) == [True, True, False]
    limit = time.monotonic() + 20
    while running.pid in groups():
        assert time.monotonic() < limit, "processes of a killed command do not end"
        time.sleep(0.1)
    code, answer = fleet(*words)
    assert code == 0
    assert states(answer) == {"a": "applied already", "b": "applied already", "c": "applied"}
    assert has(guests) == [True, True, True]


def groups() -> set[int]:
    """The process groups of all processes that live (proc(5), stat)."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            found.add(int(group))
    return found


def test_unsigned_patches_are_refused_and_signatures_travel(patch: Path, targets, kernels, tmp_path: Path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    home = tmp_path / "config" / "oddtoc"
    home.mkdir(parents=True)
    (home / "policy.toml").write_text('require-signature = true\nallowed-signers = "signers"\n')
    (home / "signers").write_text(f"me@here {key.with_suffix('.pub').read_text()}")
    words = ["apply", patch, "--targets", targets(kernels["6.12"]), "--settle", "0"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        code, answer = fleet(*words)
        assert (code, states(answer)["a"]) == (1, "failed") and "signature" in answer["targets"][0]["error"]
        subprocess.run([sys.executable, "-m", "oddtoc", "sign", patch, "--key", key], check=True)
        code, answer = fleet(*words)
    assert code == 0 and set(states(answer).values()) == {"applied"}


def test_the_workers_of_a_cluster_do_the_same(guests, patch: Path, targets, kernels, tmp_path: Path):
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = DaskCluster(folder)
    try:
        cluster.add_worker()
        words = ["apply", patch, "--targets", targets(kernels["6.12"], "resource=south"), "--settle", "0"]
        words += ["--scheduler", cluster.address]
        refused = subprocess.run(command(*words), capture_output=True, text=True, env={**os.environ, **OURS})
        assert refused.stderr.splitlines()[0] == "oddtoc: no worker has the resource south"
        assert has(guests)[2] is False
        cluster.add_worker("--resources", "south=1")
        with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True) as running:
            running.stdout.readline()
            cluster.kill(cluster.workers[0])
            rest = running.communicate(timeout=120)[0]
        assert running.returncode == 0, rest
        assert has(guests) == [True, True, True]
    finally:
        cluster.close()


def test_a_guest_that_ends_on_the_way_counts(guests, patch: Path, targets, kernels):
    """The last one: it takes a guest away."""
    words = ["apply", patch, "--targets", targets(kernels["6.12"]), "--wave", "2", "--settle", "3"]
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True) as running:
        while "c  applied" not in running.stdout.readline():
            pass
        os.kill(guests[2].pid, signal.SIGKILL)
        rest = running.communicate(timeout=120)[0]
    assert running.returncode == 1
    assert f"unwell: the guest {guests[2].name} has ended" in rest
    assert "stopped: 1 of 2 failed in wave 1, which is above the limit" in rest
