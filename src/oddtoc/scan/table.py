"""Tables as columns of equal length: what a scan computes, sends between processes and hands to writers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from oddtoc.scan.schema import TABLES, Field, Kind


@dataclass(frozen=True, slots=True)
class Labels:
    """A column of a few words: codes, shape (n,), and the word that each stands for."""

    codes: npt.NDArray[np.integer[Any]]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Labels:
        return Labels(self.codes[rows], self.words)

    def is_word(self, word: str) -> npt.NDArray[np.bool_]:
        """Which rows, shape (n,), are this word."""
        if word not in self.words:
            return np.zeros(len(self.codes), np.bool_)
        found: npt.NDArray[np.bool_] = self.codes == self.words.index(word)
        return found


Column = npt.NDArray[Any] | Labels
"""Texts are object arrays of str, addresses uint64, numbers of any integer type."""


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows of one of the tables that `schema.TABLES` describes.

    Args:
        name: which.
        columns: its columns, in the order of the schema, of equal length.
    """

    name: str
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    @property
    def fields(self) -> Mapping[str, Field]:
        """What its columns mean."""
        return TABLES[self.name]

    def numbers(self, column: str) -> npt.NDArray[Any]:
        """A column of numbers, addresses or texts as an array."""
        found = self.columns[column]
        assert isinstance(found, np.ndarray)
        return found

    def labels(self, column: str) -> Labels:
        """A column of labels."""
        found = self.columns[column]
        assert isinstance(found, Labels)
        return found

    def where(self, rows: npt.NDArray[Any]) -> Table:
        """The chosen rows: a mask, or positions."""
        return Table(self.name, {name: column[rows] for name, column in self.columns.items()})

    def plain(self, column: str) -> list[Any]:
        """A column as Python values: str or int, None for an address that there is none of."""
        found = self.columns[column]
        if isinstance(found, Labels):
            words = found.words
            return [words[code] for code in found.codes.tolist()]
        values: list[Any] = found.tolist()
        if self.fields[column].kind is Kind.ADDRESS:
            return [value or None for value in values]
        return values

    def rows(self) -> Iterator[dict[str, Any]]:
        """Row by row, as dictionaries of Python values."""
        names = list(self.columns)
        for values in zip(*(self.plain(name) for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


def texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    """A column of texts."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def labels(values: Sequence[str]) -> Labels:
    """A column of words, coded in the order of their first appearance."""
    words = {word: code for code, word in enumerate(dict.fromkeys(values))}
    codes = np.fromiter((words[value] for value in values), np.int32, len(values))
    return Labels(codes, tuple(words))


def empty(name: str) -> Table:
    """A table without rows."""
    kinds: dict[Kind, Column] = {
        Kind.TEXT: texts([]),
        Kind.LABEL: labels([]),
        Kind.ADDRESS: np.empty(0, np.uint64),
        Kind.NUMBER: np.empty(0, np.int64),
    }
    return Table(name, {column: kinds[field.kind] for column, field in TABLES[name].items()})


def joined(name: str, tables: Sequence[Table]) -> Table:
    """Tables of the same name, one below the other."""
    if not tables:
        return empty(name)
    return Table(name, {column: _joined([table[column] for table in tables]) for column in TABLES[name]})


def _joined(columns: Sequence[Column]) -> Column:
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    coded = [column for column in columns if isinstance(column, Labels)]
    words: dict[str, int] = {}
    parts = []
    for column in coded:
        new = np.array([words.setdefault(word, len(words)) for word in column.words] or [0], np.int32)
        parts.append(new[column.codes])
    return Labels(np.concatenate(parts), tuple(words))


def split(table: Table, lengths: Sequence[int]) -> list[Table]:
    """The other way round: tables of so many rows each, which share the memory of the long one."""
    edges = [0, *accumulate(lengths)]
    return [
        Table(table.name, {name: column[start:end] for name, column in table.columns.items()})
        for start, end in pairwise(edges)
    ]
