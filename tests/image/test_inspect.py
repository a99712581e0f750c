"""oddtoc inspect: what a reader and a program get."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from oddtoc.cli.inspect import inspect
from oddtoc.errors import AmbiguousSymbolError, OddtocError, SymbolError, UsageError
from oddtoc.image import SiteKind, TocSetup, entry_words
from oddtoc.report.entries import entries_as_json, entries_as_text

from .conftest import PREFIX, run

app = typer.Typer(rich_markup_mode=None)
app.command()(inspect)


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> OddtocError:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, OddtocError), result.output
    assert 1 <= len(str(result.exception).splitlines()) <= 2
    return result.exception


def test_one_function_is_a_block_with_its_words(kernel):
    text = printed(kernel.path, "cmdline_proc_show")
    entry = kernel.image.entry("cmdline_proc_show")
    for place in (entry.global_entry, entry.local_entry, entry.mark, entry.site, entry.behind, entry.toc):
        assert f"{place:#x}" in text
    start, end = entry.global_entry, entry.behind
    shown = run(f"{PREFIX}objdump", "-d", f"--start-address={start:#x}", f"--stop-address={end:#x}", kernel.path)
    theirs = [line.split("\t") for line in shown.splitlines() if line.count("\t") == 2]
    roles = [word.role for word in entry_words(entry)]
    rows = text.splitlines()[-len(roles) :]
    for (place, _, disassembled), role, row in zip(theirs, roles, rows, strict=True):
        assert f"0x{place.strip(' :')}  {kernel.image.word(int(place.strip(' :'), 16)):08x}  " in row
        assert disassembled.split()[0] in row and row.endswith(role)


def test_several_functions_are_a_table(kernel):
    names = ["cmdline_proc_show", "seq_putc", "memcpy", "vfs_read"]
    heading, _, *rows = printed(kernel.path, *names).splitlines()
    assert heading.split()[0] == "function"
    for name, row in zip(names, rows, strict=False):
        entry = kernel.image.entry(name)
        cells = row.split()
        assert cells[:3] == [name, f"{entry.global_entry:#x}", f"{entry.local_entry - entry.global_entry:+d}"]
        assert cells[-1] == str(entry.size)
        assert ("-" in cells) == (entry.mark is None or entry.site is None)
    assert max(map(len, rows)) <= 120


def test_json_has_the_same_as_plain_values(kernel):
    (record, other) = json.loads(printed(kernel.path, "seq_putc", "cmdline_proc_show", "--format", "json"))
    entry = kernel.image.entry("cmdline_proc_show")
    assert record["function"] == "seq_putc" and record["mark"] is None
    assert {key: int(other[key], 16) for key in ("global_entry", "local_entry", "site", "behind", "toc", "mark")} == {
        key: getattr(entry, key) for key in ("global_entry", "local_entry", "site", "behind", "toc", "mark")
    }
    assert [int(word["word"], 16) for word in other["words"]] == list(entry.words)


def test_a_series_stands_for_its_kernel(kernel):
    assert printed(kernel.series, "seq_putc") == printed(kernel.path, "seq_putc")


def test_a_mistyped_name_gets_suggestions(kernel):
    error = refused(kernel.path, "cmdline_proc_shwo")
    assert type(error) is SymbolError
    assert "no function cmdline_proc_shwo" in error.message
    assert "cmdline_proc_show" in error.advice


def test_every_one_of_several_can_be_chosen(kernel):
    """The five names that most functions share: each of them by its address. Debian's kernels keep no file names."""
    functions: dict[str, set[int]] = {}
    for symbol in kernel.functions:
        functions.setdefault(symbol.name, set()).add(symbol.value)
    before = sorted((symbol.value, symbol.name) for symbol in kernel.functions if symbol.binding != "LOCAL")
    for name in sorted(functions, key=lambda name: -len(functions[name]))[:5]:
        places = functions[name]
        error = refused(kernel.path, name)
        assert isinstance(error, AmbiguousSymbolError)
        assert len(error.candidates) == len(places) > 8
        assert f"and {len(places) - 8} more" in error.advice
        for address in places:
            place, _ = before[bisect_left(before, (address,)) - 1]
            neighbours = {name for start, name in before if start == place}
            assert any(f"{address:#x} (behind {neighbour})" in error.candidates for neighbour in neighbours)
        for address in sorted(places)[:8]:
            assert f"{address:#x}" in printed(kernel.path, name, "--which", f"{name}={address:#x}")


def test_choices_that_fit_nothing_are_refused(kernel):
    assert isinstance(refused(kernel.path, "seq_putc", "--which", "seq_putc"), UsageError)
    assert isinstance(refused(kernel.path, "seq_putc", "--which", "seq_puts=0x10"), UsageError)
    assert "at or in nowhere.c" in refused(kernel.path, "seq_putc", "--which", "seq_putc=nowhere.c").message
    assert "at or in 0xzz" in refused(kernel.path, "seq_putc", "--which", "seq_putc=0xzz").message


def test_objects_and_foreign_names_are_no_functions(kernel):
    assert "no function linux_banner" in refused(kernel.path, "linux_banner").message


def test_a_missing_file_is_refused():
    assert "can't be read" in refused("/nonexistent/vmlinux", "f").message


@pytest.mark.parametrize("setup", TocSetup)
@pytest.mark.parametrize("kind", [*SiteKind, None])
def test_every_shape_can_be_shown(setup: TocSetup, kind: SiteKind | None):
    from oddtoc.image import Entry

    entry = Entry("f", 0x1000, 0x1008, 0, setup, 0x9001, 0x1004, 0x38420001, 0x100C, kind, 1, 0x1010, (1, 2, 3, 4))
    bare = replace(entry, toc=None, mark=None, mark_word=None, site=None, site_word=None, behind=None, words=())
    for shown in ([entry], [bare], [entry, bare]):
        assert entries_as_text(shown).startswith("f")
        assert len(json.loads(entries_as_json(shown))) == len(shown)
    assert "marked" in entries_as_text([entry]) and "marked" in entries_as_text([entry, bare])
