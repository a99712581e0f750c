"""An object where a loader has put its sections: a kernel module as it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from oddtoc.image.elf import Image
from oddtoc.image.layout import Headers


def placed(image: Image, bases: Mapping[int, int], words: Mapping[int, bytes], toc: int) -> Image:
    """The same object with other addresses.

    Args:
        image: before linking.
        bases: index of a section -> its address; all others keep their offset in the file, where nothing is loaded.
        words: index of a section -> its contents there, relocated; others keep those of the file.
        toc: its TOC pointer.
    """
    data = bytearray(image.file_bytes)
    for index, content in words.items():
        start = image.sections[index].offset
        data[start : start + len(content)] = content
    sections = tuple(replace(section, address=bases.get(section.index, section.address)) for section in image.sections)
    return Image(image.path, memoryview(bytes(data)), Headers(image.type, sections, ()), toc=toc)
