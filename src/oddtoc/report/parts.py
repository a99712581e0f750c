"""Tables of a scan as Parquet data sets: a folder for each table, a file in it for each batch.

A part appears whole or not at all, and says which files it is of. So a scan that was ended goes on: what is there
already is not scanned again, unless something in it could not be scanned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oddtoc.engine.identity import identity
from oddtoc.errors import UsageError
from oddtoc.report.tables import as_arrow
from oddtoc.scan.batch import Batch
from oddtoc.scan.run import Scan
from oddtoc.scan.work import Result

_KEY: Final = b"oddtoc.batch"
"""Of the file's metadata: the batch's key, how many of its images could not be scanned, and which oddtoc it was."""


class Parts:
    """The data sets of one folder.

    Args:
        folder: where they are, or will be.
        tables: the names of the tables that are wanted.

    Raises:
        UsageError: the folder can't be made or written.
        LibraryError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, tables: Sequence[str]) -> None:
        self._folders = [folder / table for table in tables]
        self._count = 0
        as_arrow(Scan([], []).images)
        try:
            for one in self._folders:
                one.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} can't be written: {error.strerror}") from error

    @property
    def folders(self) -> list[Path]:
        """A folder for each table."""
        return self._folders

    def has(self, batch: Batch) -> bool:
        """Whether a batch is there, complete, and of the files that it is of now."""
        self._count = max(self._count, batch.number + 1)
        return all(_label(_part(folder, batch.number)) == _made_label(batch, 0) for folder in self._folders)

    def write(self, batch: Batch, results: Sequence[Result]) -> None:
        """Write the parts of a batch.

        Raises:
            UsageError: the folder can't be written.
        """
        scan = Scan.of(results)
        for folder in self._folders:
            table = as_arrow(scan.table(folder.name))
            label = {**(table.schema.metadata or {}), _KEY: _made_label(batch, len(scan.failed))}
            try:
                _write_whole(table.replace_schema_metadata(label), _part(folder, batch.number))
            except OSError as error:
                raise UsageError(f"{folder} can't be written: {error.strerror or error}") from error

    def finish(self) -> None:
        """Remove parts of an earlier scan that had more of them, and what a killed one left."""
        for folder in self._folders:
            for path in folder.glob("*part-*.parquet"):
                if path.name.startswith(".") or path.name >= _part(folder, self._count).name:
                    path.unlink()


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06}.parquet"


def _made_label(batch: Batch, failed: int) -> bytes:
    return f"{batch.key} {failed} {identity()}".encode()


def _label(path: Path) -> bytes:
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
    except (OSError, pyarrow.ArrowInvalid):
        return b""
    return bytes(metadata.get(_KEY, b""))


def _write_whole(table: object, path: Path) -> None:
    import pyarrow.parquet

    begun = path.with_name(f".{path.name}")
    pyarrow.parquet.write_table(table, begun, compression="zstd")
    begun.replace(path)
