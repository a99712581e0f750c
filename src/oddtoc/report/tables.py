"""Tables of a scan as CSV, JSON, Parquet and aligned text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oddtoc.errors import LibraryError, UsageError
from oddtoc.scan.schema import Kind
from oddtoc.scan.table import Labels, Table

if TYPE_CHECKING:
    import pyarrow


def table_as_text(table: Table) -> Iterator[str]:
    """Line by line: a heading, and a row for each; addresses in hexadecimal, a dash for what there is none of.

    Columns that say the same in every row stand above the table instead.
    """
    texts = {name: _texts(table, name) for name in table.columns}
    constant = {name: column[0] for name, column in texts.items() if len(set(column)) == 1 and len(column) > 1}
    yield from (f"{name}: {value}" for name, value in constant.items())
    if constant:
        yield ""
    shown = [name for name in texts if name not in constant] or list(texts)
    widths = [max(map(len, [name, *texts[name]])) for name in shown]
    right = [table.fields[name].kind is Kind.NUMBER for name in shown]
    for row in [tuple(shown), *zip(*(texts[name] for name in shown), strict=True)]:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def table_as_csv(table: Table) -> Iterator[str]:
    """Line by line, RFC 4180 with newlines alone; addresses as 0x..., nothing for what there is none of."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for row in [tuple(table.columns), *zip(*(_values(table, name) for name in table.columns), strict=True)]:
        writer.writerow(row)
        if lines.tell() > 1 << 16:
            yield lines.getvalue()
            lines.seek(0)
            lines.truncate()
    yield lines.getvalue()


def table_records(table: Table) -> list[dict[str, Any]]:
    """A dictionary for each row, for JSON: addresses as "0x...", None for what there is none of."""
    names = list(table.columns)
    columns = [_values(table, name, nothing=None) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def write_tables(tables: Sequence[Table], folder: Path, form: str) -> list[Path]:
    """Write tables into a folder, a file for each.

    Args:
        tables: what to write.
        folder: where; made if need be.
        form: "csv", "json" (a list of rows) or "parquet".

    Returns:
        The files.

    Raises:
        UsageError: the folder can't be made or written.
        LibraryError: pyarrow is not installed.
    """
    if form == "parquet":
        _pyarrow()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_written(table, folder / f"{table.name}.{form}", form) for table in tables]
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror}") from error


def _written(table: Table, path: Path, form: str) -> Path:
    if form == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(as_arrow(table), path, compression="zstd")
    elif form == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(table_as_csv(table))
    else:
        path.write_text(json.dumps(table_records(table)) + "\n", encoding="utf-8")
    return path


def as_arrow(table: Table) -> pyarrow.Table:
    """A table for Arrow and Parquet: labels as dictionaries, addresses as uint64 with nulls; meanings as metadata.

    Raises:
        LibraryError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    arrays = [_arrow_column(table, name) for name in table.columns]
    fields = [
        arrow.field(name, array.type, metadata={"meaning": table.fields[name].meaning})
        for name, array in zip(table.columns, arrays, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, schema=arrow.schema(fields))


def _arrow_column(table: Table, name: str) -> pyarrow.Array:
    import pyarrow

    column = table[name]
    if isinstance(column, Labels):
        codes = pyarrow.array(column.codes, pyarrow.int32())
        return pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(column.words, pyarrow.string()))
    if table.fields[name].kind is Kind.TEXT:
        return pyarrow.array(column.tolist(), pyarrow.string())
    if table.fields[name].kind is Kind.ADDRESS:
        return pyarrow.array(column, pyarrow.uint64(), mask=column == 0)
    return pyarrow.array(column, pyarrow.int64())


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise LibraryError("Parquet needs pyarrow", advice="pip install 'oddtoc[scan]'") from error
    return pyarrow


def _values(table: Table, name: str, nothing: str | None = "") -> list[Any]:
    values = table.plain(name)
    if table.fields[name].kind is not Kind.ADDRESS:
        return values
    return [nothing if value is None else f"{value:#x}" for value in values]


def _texts(table: Table, name: str) -> list[str]:
    return [_shown(value) for value in _values(table, name)]


def _shown(value: object) -> str:
    text = str(value)
    return (text if text.isprintable() else text.encode("unicode_escape").decode("ascii")) or "-"
