"""ELF images: symbols, entries, sites, TOC, and who branches where."""

from oddtoc.image.elf import Image, Text
from oddtoc.image.entry import Entry, EntryWord, SiteKind, TocSetup, entry_range, entry_words, read_entry
from oddtoc.image.symbols import Symbol, SymbolTable

__all__ = [
    "Entry",
    "EntryWord",
    "Image",
    "SiteKind",
    "Symbol",
    "SymbolTable",
    "Text",
    "TocSetup",
    "entry_range",
    "entry_words",
    "read_entry",
]
