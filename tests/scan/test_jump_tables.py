"""Words that jump tables lead to, in programs made for it: the kernels at hand have few of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.kernel.place import branch_place
from oddtoc.scan import scan_image

from .conftest import PREFIX

FUNCTION = """
	.globl {name}
	.type {name}, @function
{name}:
	nop
	nop
{name}_behind:
	addis 9,2,{name}_table@toc@ha
	addi 9,9,{name}_table@toc@l
	sldi 3,3,2
	lwax 10,9,3
	add 10,10,9
	mtctr 10
	bctr
{name}_first:
	li 3,1
	blr
{name}_second:
	li 3,2
	blr
	{inside}
	.size {name}, . - {name}
	.section __patchable_function_entries,"aw"
	.quad {name}
	.text
"""
TABLE = """
{name}_table:
	.long {name}_first - {name}_table
	.long {name}_{target} - {name}_table
	.long {name}_second - {name}_table
"""


def source(where: str) -> str:
    """Two functions: one whose table leads to the word behind its site, and one whose table does not."""
    parts = ["\t.abiversion 2", "\t.text", "\t.globl _start", "_start:", "\tblr"]
    for name, target in (("led_to", "behind"), ("free", "second")):
        table = TABLE.format(name=name, target=target)
        parts.append(FUNCTION.format(name=name, inside=table if where == "text" else ""))
        if where == "rodata":
            parts += ['\t.section .rodata,"a"', table, "\t.text"]
    return "\n".join(parts) + "\n"


@pytest.fixture(params=["text", "rodata"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    (tmp_path / "tables.s").write_text(source(request.param))
    subprocess.run([f"{PREFIX}as", tmp_path / "tables.s", "-o", tmp_path / "tables.o"], check=True)
    subprocess.run([f"{PREFIX}ld", tmp_path / "tables.o", "-o", tmp_path / "tables"], check=True)
    return Image.open(tmp_path / "tables")


def test_a_word_that_a_table_leads_to_is_not_taken(image: Image):
    functions = scan_image(image).functions
    found = dict(zip(functions.plain("function"), functions.plain("obstacle"), strict=True))
    assert (found["led_to"], found["free"]) == ("jump table", "none")
    symbol = image.symbols.one("led_to")
    with pytest.raises(NoSiteError, match="may be in the function's jump table"):
        branch_place(image, symbol, image.entry(symbol))
    free = image.symbols.one("free")
    assert branch_place(image, free, image.entry(free)) == free.address + 8


LABELS = """
	.abiversion 2
	.text
	.type keyed, @function
keyed:
	nop
	nop
keyed_behind:
	nop
	blr
	.size keyed, . - keyed
	.type reached, @function
reached:
	nop
	nop
reached_behind:
	li 3,1
	blr
	.size reached, . - reached
	.section __patchable_function_entries,"aw"
	.quad keyed
	.quad reached
	.section __jump_table,"aw"
	.long keyed_behind - .
	.long reached_behind - .
	.quad 0
	.section .gnu.linkonce.this_module,"aw"
	.quad 0
"""


def test_jump_labels_of_modules_are_where_the_code_is_and_not_where_it_goes(tmp_path: Path):
    (tmp_path / "labels.s").write_text(LABELS)
    subprocess.run([f"{PREFIX}as", tmp_path / "labels.s", "-o", tmp_path / "labels.ko"], check=True)
    functions = scan_image(Image.open(tmp_path / "labels.ko")).functions
    found = dict(zip(functions.plain("function"), functions.plain("obstacle"), strict=True))
    assert found == {"keyed": "jump label", "reached": "none"}
