"""The flags that a program or library was compiled with, as its debug information has them.

gcc records them in DW_AT_producer (-grecord-gcc-switches, on by default): those that make other code, not macros and
paths of headers.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from oddtoc.errors import BuildError

_PRODUCER = re.compile(r"GNU (?P<language>\S+) \S+(?P<flags>.*)", re.DOTALL)
_KEPT = re.compile(r"-(?:O|m|f|std=)")
_OF_THE_BUILD = re.compile(
    r"-f(?:lto|ltrans|wpa|profile|sanitize|preprocessed|branch-probabilities|instrument|patchable)"
)
"""What code of a patch has nothing to do with: counting, checking, the whole program at once."""
_OTHER_WAY = "give the flags themselves: --flags '-O2 ...'"


def recorded_flags(path: Path, functions: Sequence[str]) -> list[str]:
    """The flags for code that stands in for functions of a program or library.

    Args:
        path: of the program, library, or their debug file.
        functions: their names; the file that has the first one that is found decides.

    Raises:
        BuildError: it can't be read, has no debug information, or that does not tell.
    """
    try:
        with path.open("rb") as stream:
            file = ELFFile(stream)
            # what unwinders need is debug information, too
            if not file.has_dwarf_info(strict=True):
                raise BuildError(f"{path} has no debug information", advice=f"take its debug file, or {_OTHER_WAY}")
            producer = _producer(file, file.get_dwarf_info(follow_links=False), functions)
    except OSError as error:
        raise BuildError(f"{path} can't be read: {error.strerror}", advice=_OTHER_WAY) from error
    except (ELFError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise BuildError(f"{path} can't be read: {error}", advice=_OTHER_WAY) from error
    if producer is None:
        names = ", ".join(functions) or "what is replaced"
        raise BuildError(f"{path} does not tell how {names} was compiled: it is not in there", advice=_OTHER_WAY)
    match = _PRODUCER.match(producer)
    if not match:
        raise BuildError(f"{path} does not tell how {functions[0]} was compiled: {producer[:60]!r}", advice=_OTHER_WAY)
    flags = [flag for flag in shlex.split(match["flags"]) if _KEPT.match(flag) and not _OF_THE_BUILD.match(flag)]
    # a replacement is C, whatever the language of the original
    is_other = match["language"].startswith("C++")
    return [flag for flag in flags if not (is_other and flag.startswith("-std="))]


def _producer(file: ELFFile, dwarf: DWARFInfo, functions: Sequence[str]) -> str | None:
    """What has made the code of the first function that is found; None if there is none."""
    symbols, ranges = file.get_section_by_name(".symtab"), dwarf.get_aranges()
    if not isinstance(symbols, SymbolTableSection) or ranges is None:
        return None
    for symbol in (symbol for name in functions for symbol in symbols.get_symbol_by_name(name) or ()):
        offset = ranges.cu_offset_at_addr(symbol["st_value"])
        if offset is not None:
            attribute = dwarf.get_CU_at(offset).get_top_DIE().attributes.get("DW_AT_producer")
            value = attribute.value if attribute else b""
            # a number where it is in the file that several share (.gnu_debugaltlink)
            return value.decode() if isinstance(value, bytes) else "in another file"
    return None
