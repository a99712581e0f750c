"""A patch object whose calls are explained, and a browser."""

import pytest
from typer.testing import CliRunner

from oddtoc.build.compile import compile_patch
from oddtoc.cli import app

SOURCE = """
#include <oddtoc.h>
struct seq_file;
int seq_write(struct seq_file *file, const void *data, unsigned long length);
static void bars(struct seq_file *file, char character)
{
	char shown = character == ' ' ? '|' : character;

	seq_write(file, &shown, 1);
}
static int nothing(struct seq_file *file, void *data)
{
	return 0;
}
ODDTOC_REPLACE(vmlinux, seq_putc, bars);
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, nothing);
"""


@pytest.fixture(scope="session")
def patch(tmp_path_factory):
    """The path of a patch object: seq_putc is called all the time, cmdline_proc_show by a pointer."""
    folder = tmp_path_factory.mktemp("explained")
    (folder / "bars.c").write_text(SOURCE)
    compile_patch(folder / "bars.c", folder / "bars.o")
    return folder / "bars.o"


@pytest.fixture
def oddtoc():
    """Runs a command in this process; gives its result."""

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return run
