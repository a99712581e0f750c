"""The same tables in every form."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

from oddtoc.report.tables import table_as_csv, table_as_text, table_records
from oddtoc.scan import TABLES
from oddtoc.scan.run import run_scan
from oddtoc.scan.schema import Kind

NAMES = ("images", "functions", "jumps", "room")


@pytest.fixture(scope="module")
def scan(modules, kernels):
    return run_scan([*modules[:12], Path(kernels["6.1"].vmlinux)], jobs=1)


@pytest.mark.parametrize("name", NAMES)
def test_csv_json_and_text_have_the_same_rows(scan, name: str):
    table = scan.table(name)
    assert list(table.columns) == list(TABLES[name])
    records = table_records(table)
    assert len(records) == len(table) > 0
    read = list(csv.DictReader(io.StringIO("".join(table_as_csv(table)))))
    assert read == [{key: "" if value is None else str(value) for key, value in row.items()} for row in records]
    text = list(table_as_text(table))
    assert len(text) >= len(records) + 1
    for row, line in zip(records[::997], text[-len(records) :: 997], strict=True):
        values = [str(value) for key, value in row.items() if key != "image" and value not in ("", None)]
        assert sum(value in line for value in values) >= len(values) - 1


@pytest.mark.parametrize("name", NAMES)
def test_parquet_gives_back_what_was_written(modules, oddtoc, tmp_path: Path, name: str):
    result = oddtoc("scan", *modules[:12], "--format", "parquet", "-o", tmp_path / "tables", "--table", name)
    assert (result.exit_code, result.stdout.splitlines()) == (0, [str(tmp_path / "tables" / f"{name}.parquet")])
    read = pyarrow.parquet.read_table(tmp_path / "tables" / f"{name}.parquet")
    expected = run_scan(modules[:12], jobs=1).table(name)
    assert read.to_pylist() == list(expected.rows())
    for column, field in TABLES[name].items():
        assert read.schema.field(column).metadata[b"meaning"].decode() == field.meaning
        if field.kind is Kind.ADDRESS:
            assert str(read.schema.field(column).type) == "uint64"


def test_functions_that_nobody_wants_are_left_out(modules):
    whole, lean = (run_scan(modules[:20], jobs=2, functions=wanted) for wanted in (True, False))
    assert len(whole.functions) > 1_000 and len(lean.functions) == 0
    for name in ("images", "jumps", "room"):
        assert list(lean.table(name).rows()) == list(whole.table(name).rows())


def test_parts_are_kept_until_what_they_are_of_changes(modules, oddtoc, tmp_path: Path):
    folder, bad = tmp_path / "tables", tmp_path / "bad.ko"
    bad.write_bytes(b"no image")
    small = sorted(modules, key=lambda path: path.stat().st_size)
    images = [*small[:70], bad]

    def scan(*images: Path) -> tuple[int, dict[Path, int]]:
        result = oddtoc("scan", "--parts", "--format", "parquet", "-o", folder, *images)
        assert result.stdout.splitlines() == [str(folder / name) for name in NAMES]
        for name in NAMES:
            read = pyarrow.parquet.read_table(folder / name)
            assert read.to_pylist() == list(run_scan(images, jobs=1).table(name).rows())
        return result.exit_code, {path: path.stat().st_mtime_ns for path in folder.glob("images/*")}

    code, first = scan(*images)
    assert (code, len(first)) == (1, 2)
    (folder / "images" / ".part-000007.parquet").write_text("left by a run that was killed")
    shutil.copy(small[70], bad)
    code, second = scan(*images)
    assert code == 0 and [first[path] == second[path] for path in sorted(first)] == [True, False]
    code, third = scan(*images)
    assert (code, third) == (0, second)
    (folder / "functions" / "part-000000.parquet").write_text("no table")
    code, fourth = scan(*images[:64])
    assert code == 0 and len(fourth) == 1


def test_json_has_totals_and_the_tables_that_are_asked_for(modules, oddtoc):
    result = oddtoc("scan", *modules[:3], "--format", "json", "--table", "functions", "--table", "room")
    answer = json.loads(result.stdout)
    assert set(answer) == {"images", "totals", "failed", "functions", "room"}
    assert answer["totals"]["functions"] == len(answer["functions"]) == sum(i["functions"] for i in answer["images"])
    assert [Path(image["image"]) for image in answer["images"]] == modules[:3]


def test_all_files_of_a_folder(modules, oddtoc, tmp_path: Path):
    for form in ("csv", "json"):
        result = oddtoc("scan", *modules[:3], "--format", form, "-o", tmp_path)
        assert result.stdout.splitlines() == [str(tmp_path / f"{name}.{form}") for name in NAMES]
    rows = json.loads((tmp_path / "functions.json").read_text())
    assert len(list(csv.DictReader((tmp_path / "functions.csv").open()))) == len(rows) > 100


def test_a_block_for_one_image_a_row_for_each_of_many(modules, oddtoc, kernels):
    figures = run_scan([Path(kernels["6.1"].vmlinux)]).scans[0].figures
    block = oddtoc("scan", kernels["6.1"].vmlinux).stdout
    for name in ("functions", "patchable", "marks", "sites", "indirect_calls", "to_local", "not_jump_label"):
        assert f"{figures[name]:,}" in block
    assert "ret_from_kernel_thread" in block and "KiB for text" in block
    assert oddtoc("scan", "6.1").stdout == block
    many = oddtoc("scan", *modules[:10]).stdout.splitlines()
    assert len([line for line in many if line.startswith("/")]) == 10
    assert any(line.startswith("10 modules") for line in many) and any(line.startswith("in all") for line in many)
    crowd = oddtoc("scan", *modules[:60]).stdout
    assert "60 modules" in crowd and not re.search("^/", crowd, re.M)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--format", "parquet", "x.ko"),
        ("-o", "folder", "x.ko"),
        ("--format", "csv", "--table", "functions", "--table", "jumps", "x.ko"),
        ("--parts", "--format", "csv", "-o", "folder", "x.ko"),
        ("--between", "a", "b", "x.ko"),
        ("--between", "a", "b", "--table", "room"),
    ],
)
def test_calls_that_make_no_sense_are_refused(oddtoc, words):
    result = oddtoc("scan", *words)
    assert type(result.exception).__name__ == "UsageError"


def test_folders_that_can_not_be_written_are_named(modules, oddtoc, tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = oddtoc("scan", modules[0], "--format", "csv", "-o", tmp_path / "file" / "under")
    assert "can't be written" in str(result.exception)
