"""What every command prints with --format json, held against the schema that `oddtoc schema` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

import oddtoc
from oddtoc.cli import app
from oddtoc.errors import STATUSES, Status
from oddtoc.report.schemas import SCHEMAS, schema_of

SAMPLES = Path(oddtoc.__file__).parent / "samples"
NAP = Path(__file__).parents[1] / "live/patches/nap.c"
WITHOUT_ANSWER = {"demo", "demo-process", "schema", "types"}
"""Commands that tell a story, or print what is JSON or C anyway."""


def commands(group, prefix=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def answer(command, *words, status=0):
    """What a command prints, read, and found to be what its schema says; an error if it is to fail."""
    result = CliRunner().invoke(app, [*command.split(), *map(str, words), "--format", "json"])
    plain = json.loads(result.stdout)
    if status:
        assert int(result.exception.status) == plain["error"]["status"] == status
    else:
        assert result.exit_code == 0, result
    jsonschema.validate(plain, schema_of("error" if status else command))
    return plain["error"] if status else plain


def oddtoc_process(*words):
    line = [sys.executable, "-m", "oddtoc", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("json")


@pytest.fixture(scope="module")
def patch(folder):
    answer("build", SAMPLES / "cmdline.c", "-o", folder / "cmdline.o")
    return folder / "cmdline.o"


def test_every_command_that_answers_has_a_schema():
    tree = dict(commands(typer.main.get_command(app)))
    formed = {name for name, one in tree.items() if any("--format" in p.opts for p in one.params)}
    assert formed == set(SCHEMAS) - {"error"}
    assert set(tree) - formed == WITHOUT_ANSWER


@pytest.mark.parametrize("command", SCHEMAS)
def test_schemas_are_schemas_and_say_what_everything_is(command):
    whole = json.loads(oddtoc_schema(command))
    jsonschema.Draft202012Validator.check_schema(whole)
    pending = [whole]
    while pending:
        one = pending.pop()
        if one.get("type") == "object" and "properties" in one:
            assert one["additionalProperties"] is False
            assert all("description" in value for value in one["properties"].values())
        pending += [value for value in one.get("properties", {}).values()] + one.get("anyOf", [])
        pending += [one[key] for key in ("items", "additionalProperties") if isinstance(one.get(key), dict)]


def oddtoc_schema(command):
    return CliRunner().invoke(app, ["schema", *command.split()]).stdout


def test_patches_from_start_to_end(guest, patch):
    target = ["--target", f"guest:{guest('6.1').name}"]
    answer("gc", *target)  # what tests of other files have left
    assert answer("check", patch, *target)["findings"] == []
    planned = answer("apply", patch, *target, "--dry-run", "--replace")
    done = answer("apply", patch, *target)
    assert [one["branch_at"] for one in done["functions"]] == [one["branch_at"] for one in planned["functions"]]
    assert answer("apply", patch, *target)["changed"] is False
    assert answer("status", *target)[0]["condition"] == "applied"
    assert [one["name"] for one in answer("top", *target)["patches"]] == ["cmdline"]
    assert answer("inspect", "6.1", "cmdline_proc_show", *target)[0]["behind"] == done["functions"][0]["branch_at"]
    words = answer("revert", "cmdline", *target, "--dry-run")["functions"][0]["changes"]
    assert words[-1] == {**done["functions"][0]["changes"][-1], "old": words[-1]["old"], "new": words[-1]["new"]}
    answer("revert", "cmdline", *target)
    assert answer("gc", *target, "--dry-run")["freed"] == answer("gc", *target)["freed"] == ["cmdline"]
    assert answer("status", *target) == []


def test_lines_of_a_trace(guest):
    machine = guest("6.1")
    words = ["vfs_read", "vfs_caches_init", "--target", f"guest:{machine.name}", "--returns", "--duration", "2"]
    line = [sys.executable, "-m", "oddtoc", "trace", *words, "--format", "json"]
    tracing = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = tracing.stdout.readline()
    machine.run("cat /proc/version /proc/cmdline")
    lines = [json.loads(text) for text in [first, *tracing.communicate()[0].splitlines()]]
    for one in lines:
        jsonschema.validate(one, schema_of("trace"))
    assert lines[0]["refused"][0]["function"] == "vfs_caches_init"
    assert {one["event"] for one in lines} == {"start", "call", "return", "end"}


def test_signatures(patch, folder):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    (folder / "signers").write_text(f"me@here {(folder / 'key.pub').read_text()}")
    assert answer("sign", patch, "--key", folder / "key")["signature"] == f"{patch}.sig"
    assert answer("verify", patch, "--allowed-signers", folder / "signers")["signer"] == "me@here"
    Path(f"{patch}.sig").unlink()
    assert answer("verify", patch, "--allowed-signers", folder / "signers", status=4)["kind"] == "SignatureError"


def test_guests(kernels):
    name = "json-guest"
    assert answer("boot", "6.1", "--name", name, "--dry-run")["command"][0] == "qemu-system-ppc64"
    booted = answer("boot", "6.1", "--name", name, "--timeout", 300)
    try:
        listed = next(one for one in answer("guest list") if one["name"] == name)
        assert {**listed, "seconds": booted["seconds"]} == booted
        ran = CliRunner().invoke(
            app, ["guest", "run", name, "--format", "json", "--", "printf 'a\\377'; echo b >&2; exit 7"]
        )
        assert ran.exit_code == 7
        plain = json.loads(ran.stdout)
        jsonschema.validate(plain, schema_of("guest run"))
        assert (plain["status"], plain["stdout"], plain["stderr"]) == (7, "a\\xff", "b\n")
    finally:
        assert answer("guest stop", name) == {"stopped": [name]}
    assert answer("kernel list")[0]["vmlinux"] == str(kernels["6.1"].vmlinux)
    assert answer("kernel fetch", "6.1")[0]["series"] == "6.1"


def test_images_and_mechanisms(patch, folder, kernels):
    module = next(kernels["6.1"].modules.rglob("ext4.ko*"))
    tables = [word for name in ("functions", "jumps", "room") for word in ("--table", name)]
    scan = answer("scan", module, *tables)
    assert scan["totals"]["functions"] == len(scan["functions"])
    assert answer("scan", "--between", module, module)["states"]["same"] == len(scan["functions"])
    (folder / "scan.json").write_text(json.dumps(scan))
    assert answer("report", folder / "scan.json", "-o", folder / "page.html")["path"] == str(folder / "page.html")
    assert answer("lab", "-m", "guarded/slot", "-s", "sibling")["cells"][0]["outcome"] == "ok"
    assert any(one["counterexample"] for one in answer("prove", "heuristic/frame"))
    assert answer("explain", patch, "cmdline_proc_show", "--html", folder / "call.html")["right"]
    assert "<html" in (folder / "call.html").read_text()


def test_errors_are_json_and_text_and_a_status(guest, folder):
    machine = guest("6.1")
    answer("build", NAP, "-o", folder / "nap.o")
    machine.run("sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! > /tmp/sleeper")
    target = ["--target", f"guest:{machine.name}"]
    try:
        busy = answer("apply", folder / "nap.o", *target, "--timeout", "0.2", status=3)
        assert (busy["kind"], busy["function"]) == ("BusyError", "hrtimer_nanosleep")
        assert any("__schedule" in line for line in busy["stack"])
        done = oddtoc_process("apply", folder / "nap.o", *target, "--timeout", "0.2", "--format", "json")
        assert done.returncode == Status.BUSY
        assert json.loads(done.stdout)["error"]["message"] in done.stderr.replace("oddtoc: ", "")
    finally:
        machine.run("kill $(cat /tmp/sleeper)")
    assert answer("inspect", "6.1", "cmdline_proc_sho", status=4)["advice"]
    assert answer("status", "--target", "nowhere", status=2)["kind"] == "UsageError"
    (folder / "wrong.c").write_text("int wrong")
    assert "error" in answer("build", folder / "wrong.c", status=1)["output"]


def test_every_status_has_a_meaning():
    assert set(STATUSES) == set(Status)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert all(f"| {int(status)} | {meaning} |" in readme for status, meaning in STATUSES.items())
