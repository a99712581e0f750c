"""oddtoc check for processes: what stops an apply there is found beforehand."""

import subprocess
import sys

from oddtoc.build.compile import compile_patch
from oddtoc.check.finding import Severity
from oddtoc.live.session import Session

FORM = "#include <oddtoc.h>\nlong {used}(long);\nstatic long mine(long value) {{ return {used}(value); }}\n"


def findings(user_process, folder, function, used="thing_leaf"):
    source = folder / "one.c"
    source.write_text(FORM.format(used=used) + f"ODDTOC_REPLACE(libthing.so.1, {function}, mine);\n")
    with Session.open(user_process.target) as session:
        return session.check(compile_patch(source, folder / "one.o"))


def errors(found):
    return [(one.id, one.place) for one in found if one.severity is Severity.ERROR]


def test_what_an_apply_would_refuse_is_an_error(user_process, tmp_path):
    assert errors(findings(user_process, tmp_path, "thing_value")) == []
    assert errors(findings(user_process, tmp_path, "thing_chosen")) == [("no-site", "thing_chosen")]
    assert errors(findings(user_process, tmp_path, "missing")) == [("unknown-function", "missing")]
    assert errors(findings(user_process, tmp_path, "thing_value", used="none")) == [("unknown-symbol", "none")]


def test_the_command(user_process, built):
    command = [sys.executable, "-m", "oddtoc", "check", built("thing").path, "--target", user_process.target]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "new-data" in result.stdout
