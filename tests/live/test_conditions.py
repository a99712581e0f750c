"""A mechanism is refused where its proof does not hold, on running kernels."""

import pytest

from oddtoc.errors import MechanismError
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


TARGET, CALLER = "do_writev", "sys_writev"
"""A function, and one that ends in a sibling call of it."""


def test_what_ends_in_a_function_decides(refusal):
    why = refusal(TARGET, "odd-toc/cr4")
    assert f"odd-toc/cr4 can't carry {TARGET}: {CALLER} ends in a sibling call of it" in why
    assert refusal(TARGET, "guarded/slot") is None
    assert refusal(TARGET, "shared-toc") is None
    assert refusal("seq_putc", "odd-toc/cr4") is None


def test_a_tracer_where_the_return_address_matters(guest, series, refusal):
    tracing = "/sys/kernel/tracing"
    run = guest(series).run
    run(f"echo {TARGET} > {tracing}/set_ftrace_filter")
    run(f"echo function > {tracing}/current_tracer")
    try:
        why = refusal(TARGET, "guarded/slot")
        assert f"a tracer is attached to {TARGET}" in why and CALLER in why
        assert refusal(TARGET, "shared-toc") is None
        assert refusal("seq_putc", "guarded/slot") is None
    finally:
        run(f"cd {tracing}; echo nop > current_tracer; echo > set_ftrace_filter")
    assert refusal(TARGET, "guarded/slot") is None


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
