"""Which payloads can be given back: addresses that get out of an object, and those that do not."""

import pytest

from oddtoc.build.compile import compile_patch
from oddtoc.link.escape import why_pinned

HEAD = """
#include <oddtoc.h>
struct seq_file; struct timer_list;
void seq_printf(struct seq_file *file, const char *format, ...);
void register_something(const void *pointer);
unsigned long strlen(const char *text);
static void tick(struct timer_list *timer) { seq_printf((void *)timer, "x"); }
static long counter, table[8];
static const char *const names[] = { "a", "b" };
extern const char *somebody;
"""

STAYS = {
    "the address of a function": "register_something(tick);",
    "a function pointer that is stored": "*(void **)data = tick;",
    "the address of data": "register_something(&counter);",
    "an array with an index": "table[(long)data & 7]++;",
    "a string that is stored": 'somebody = "kept";',
    "a string for somebody unknown": 'register_something("kept");',
    "a string that is returned": 'return (long)"kept";',
    "a table of strings": "seq_printf(file, names[(long)data & 1]);",
    "a string in a loop": 'for (int i = (long)data; i; i--) seq_printf(file, "again");',
    "the original's address": "register_something(ODDTOC_ORIGINAL(cmdline_proc_show));",
}
GOES = {
    "nothing": "",
    "a counter": "counter++;",
    "a string for a print": 'seq_printf(file, "%s %ld", "text", ++counter);',
    "a string on two ways": 'seq_printf(file, "%s", data ? "yes" : "no, never");',
    "several prints": 'seq_printf(file, "one"); seq_printf(file, "two %ld", strlen("x"));',
    "a call of a function of its own": "tick(data);",
    "a call of the original": "return ODDTOC_ORIGINAL(cmdline_proc_show)(file, data);",
}


def build(folder, body, **options):
    source = folder / "patch.c"
    source.write_text(
        f"{HEAD} static long show(struct seq_file *file, void *data);\n"
        "long ODDTOC_ORIGINAL(cmdline_proc_show)(struct seq_file *file, void *data);\n"
        f"static long show(struct seq_file *file, void *data) {{ {body} return 0; }}\n"
        "ODDTOC_REPLACE(vmlinux, cmdline_proc_show, show);\n"
    )
    return compile_patch(source, folder / "patch.o", flags=["-Wno-unused", "-Wno-format-security"], **options)


@pytest.mark.parametrize("options", [{}, {"long_calls": True}], ids=str)
@pytest.mark.parametrize("body", STAYS.values(), ids=STAYS)
def test_a_payload_whose_address_gets_out_is_pinned(tmp_path, body, options):
    assert why_pinned(build(tmp_path, body, **options))


@pytest.mark.parametrize("options", [{}, {"long_calls": True}], ids=str)
@pytest.mark.parametrize("body", GOES.values(), ids=GOES)
def test_a_payload_that_keeps_to_itself_can_be_given_back(tmp_path, body, options):
    assert why_pinned(build(tmp_path, body, **options)) == ""


def test_the_reason_names_what_gets_out(tmp_path):
    assert why_pinned(build(tmp_path, 'register_something("kept");')).endswith("to register_something")
    assert "tick" in why_pinned(build(tmp_path, "register_something(tick);"))
