"""A mechanism is refused where its proof does not hold, on running kernels."""

import pytest

from oddtoc.errors import MechanismError
from oddtoc.image.flow import flow_of
from oddtoc.live.session import Session

SOURCE = """
#include <oddtoc.h>
static long replaced(void) { return 1; }
ODDTOC_REPLACE(vmlinux, FUNCTION, replaced);
"""
JUMPS = """
#include <oddtoc.h>
void longjmp(long *where, int result);
static long replaced(long *where) { longjmp(where, 1); return 1; }
ODDTOC_REPLACE(vmlinux, seq_putc, replaced);
"""


@pytest.fixture
def session(guest, series):
    with Session.open(f"guest:{guest(series).name}") as session:
        yield session


@pytest.fixture
def refusal(session, tmp_path):
    """refusal(function, mechanism): why it is refused, None where it is not."""
    from oddtoc.build.compile import compile_patch

    def ask(function, mechanism, text=SOURCE):
        source = tmp_path / f"{function}.c"
        source.write_text(text.replace("FUNCTION", function))
        patch = compile_patch(source, source.with_suffix(".o"))
        try:
            session.plan(patch, mechanism=mechanism)
        except MechanismError as error:
            return str(error)

    return ask


def sibling_target(image):
    """A function that another one ends in, which could be redirected: `mmput` does not sleep in its entry."""
    flow = flow_of(image)
    for name in ("vfs_fsync", "ksys_sync_file_range", "seq_release_private", "kfree_const", "dput", "kvfree"):
        if len(image.symbols.find(name)) == 1 and (callers := flow.tail_callers(image.symbols.one(name))):
            return name, [image.symbols.at(caller).name for caller in callers]
    raise AssertionError("none of them has a sibling caller")


def test_what_ends_in_a_function_decides(session, refusal):
    name, callers = sibling_target(session.kernel.image)
    why = refusal(name, "odd-toc/cr4")
    assert f"odd-toc/cr4 can't carry {name}: {callers[0]} ends in a sibling call of it" in why
    assert refusal(name, "guarded/slot") is None
    assert refusal(name, "shared-toc") is None
    assert refusal("seq_putc", "odd-toc/cr4") is None


def test_a_tracer_where_the_return_address_matters(guest, series, session, refusal):
    name, callers = sibling_target(session.kernel.image)
    tracing = "/sys/kernel/tracing"
    run = guest(series).run
    run(
        f"mount -t tracefs none {tracing}; cd {tracing}; echo {name} > set_ftrace_filter; echo function > current_tracer"
    )
    try:
        why = refusal(name, "guarded/slot")
        assert f"a tracer is attached to {name}" in why and callers[0] in why
        assert refusal(name, "shared-toc") is None
        assert refusal("seq_putc", "guarded/slot") is None
    finally:
        run(f"cd {tracing}; echo nop > current_tracer; echo > set_ftrace_filter")
    assert refusal(name, "guarded/slot") is None


@pytest.mark.parametrize("mechanism", ["guarded/slot", "odd-toc/cr4"])
def test_threads_begin_where_nobody_reloads(refusal, mechanism):
    why = refusal("call_usermodehelper_exec_async", mechanism)
    assert "threads begin in it (see call_usermodehelper_exec_work)" in why
    assert refusal("call_usermodehelper_exec_async", "shared-toc") is None


def test_a_replacement_that_leaves_by_longjmp(refusal):
    assert "calls longjmp" in refusal("seq_putc", "guarded/slot", JUMPS)
    assert refusal("seq_putc", "shared-toc", JUMPS) is None


@pytest.mark.parametrize(
    ("mechanism", "why"),
    [("heuristic/cr4", "r12 may hold its global entry"), ("guarded/frame", "parameters in memory is not known")],
)
def test_what_nobody_can_know(refusal, mechanism, why):
    assert why in refusal("seq_putc", mechanism)
