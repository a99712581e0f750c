"""Calls caught in running processes, and what becomes of the process: it goes on as ever, whatever happens."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
from user import PATCHED, PLAIN, User
from waiting import Waiting, command

from oddtoc.explain.choice import map_of, replacement_of
from oddtoc.explain.follow import follow
from oddtoc.explain.trace import Call
from oddtoc.isa import BLR
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session
from oddtoc.live.temporary import applied
from oddtoc.target.process_stepper import ProcessStepper

LIBRARY = "libstrained.so.1"
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
COSTS = {
    # the TOC pointer is a number of five instructions here, and loaded by one in a kernel
    ("shared-toc", "local"): (1, 0),
    ("shared-toc", "global"): (1, 0),
    ("guarded/slot", "local"): (11, 9),
    ("guarded/slot", "global"): (6, 0),
    ("odd-toc/cr4", "local"): (12, 5),
    ("odd-toc/cr4", "global"): (6, 0),
}


def explained(patch, function, target, *words):
    line = command(patch, function, target, "--format", "json", *words)
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@contextmanager
def pace_applied(session, patch):
    """Gives a function that follows a call of pace, and gives the trace of it."""
    with applied(session, patch, mechanism="guarded/slot") as record:
        replacement = replacement_of(patch, "pace")
        subject = session.running.subject([LIBRARY])
        (entry,) = subject.entries([subject.function("pace")])
        found = map_of(patch, replacement, entry, record.replaced[0], subject)

        def traced(call=None):
            with session.target.stepper() as stepper:
                return follow(stepper, found, "guarded/slot", call, where="", wait=60, give_up=lambda: False)

        yield traced


def is_left_alone(guest, pid):
    return guest.status(pid, "TracerPid") == "0" and guest.status(pid, "State")[0] in "SR"


@pytest.fixture
def calling(strained):
    """Eight threads that call pace all the time, from inside and outside of its library."""
    strained.ask("call")
    yield strained
    assert is_left_alone(strained.guest, strained.pid)
    called, wrong, *_ = map(int, strained.ask("stop").split())
    assert called > 0 == wrong


@pytest.mark.parametrize("call", ["local", "global"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_call_is_shown_from_its_caller_and_back(calling, built, mechanism, call):
    patch = built("pace", long_calls="/" in mechanism)
    record = explained(patch, "pace", calling.target, "-m", mechanism, "--call", call)
    assert record["right"], record["verdict"]
    assert (record["mechanism"], record["call"], record["where"]) == (mechanism, call, calling.target)
    places = [step["place"] for step in record["steps"]]
    assert (places[0], places[-1]) == ("caller", "caller again")
    assert ("global entry" in places) == (call == "global")
    assert (record["cost"]["in"], record["cost"]["back"]) == COSTS[mechanism, call]
    assert record["headings"]["caller"] == f"caller ({'pace_inside' if call == 'local' else 'call'})"
    assert any(step["odd"] for step in record["steps"]) == (call == "global" and mechanism != "shared-toc")


def test_functions_that_the_replacement_calls_are_left_out(user_process, built):
    waiting = Waiting(built("thing"), "thing_value", user_process.target, "--format", "json")
    assert user_process.ask() == PATCHED
    status, output, error = waiting.answer()
    assert status == 0, error
    record = json.loads(output)
    left_out = [step for step in record["steps"] if step["skipped"]]
    assert len(left_out) >= 4
    assert {step["place"] for step in left_out} == {"replacement"}
    assert record["right"]
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize("name", ["long_pace", "atomic_pace"])
def test_the_rest_of_a_replacement_is_left_out(calling, built, name):
    """It is too long, or has what can't be stepped."""
    patch = built(name, long_calls=True)
    with Session.open(calling.target) as session, pace_applied(session, patch) as traced:
        trace = traced(Call.LOCAL)
    assert trace.stopped is None
    (place,) = (number for number, moment in enumerate(trace.moments) if moment.skipped)
    start, end = trace.map.trampoline
    assert start < trace.moments[place + 1].state.pc < end
    assert trace.moments[place - 1].word != BLR
    assert trace.end.registers["r3"] == trace.moments[0].state.registers["r3"] + 1


def test_other_threads_run_on(calling):
    with Session.open(calling.target) as session:
        library = session.running.subject([LIBRARY])
        place = library.function("pace").local_entry
        counter = library.image.symbols.one("strained_calls").address
        counts = []
        with session.target.stepper() as stepper:
            stepper.stop_at(place)
            thread = stepper.run(60, lambda: False)
            for number in range(4):
                assert stepper.registers(thread)["pc"] == place + 4 * number
                counts.append(int.from_bytes(stepper.read(thread, counter, 8), "little"))
                time.sleep(0.3)
                stepper.step(thread)
    # the thread itself has added one at most
    assert counts[0] + 1 < counts[1] < counts[2] < counts[3]


def test_signals_reach_the_thread_that_is_stepped(calling, built):
    """With their values: every one goes its usual way, once, while calls are shown."""
    with Session.open(calling.target) as session:
        deliveries = []
        put_off = ProcessStepper._put_off

        def counted(stepper, thread, number):
            deliveries.append(number)
            put_off(stepper, thread, number)

        with pytest.MonkeyPatch.context() as patched, pace_applied(session, built("pace", long_calls=True)) as traced:
            patched.setattr(ProcessStepper, "_put_off", counted)
            calling.ask("signal")
            while not deliveries:
                trace = traced()
                assert trace.stopped is None
                # the handler is no part of the call
                assert len(trace.moments) < 40
    sent, received, sent_values, received_values = map(int, calling.ask("signalled").split())
    assert (sent, sent_values) == (received, received_values)


def test_nobody_calls(user_process, built):
    result = subprocess.run(
        command(built("leaf"), "thing_leaf", user_process.target, "--wait", "1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "no call of thing_leaf came in 1 s" in result.stderr
    assert "--wait" in result.stderr
    assert is_left_alone(user_process.guest, user_process.pid)
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(user_process, built, number):
    waiting = Waiting(built("thing"), "thing_value", user_process.target, "--wait", "60")
    os.kill(waiting.process.pid, number)
    assert waiting.answer() == (128 + number, "", "")
    assert is_left_alone(user_process.guest, user_process.pid)
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize("serial", [False, True])
def test_killed_while_it_waits(process_guest, user_process, built, serial):
    """Nobody takes the patch back. The breakpoint, which would end the process, is gone when it is called."""
    target = f"{process_guest.serial}#{user_process.pid}" if serial else user_process.target
    waiting = Waiting(built("thing"), "thing_value", target, "--wait", "60")
    time.sleep(0.5)
    waiting.process.kill()
    waiting.answer()
    assert user_process.ask() == PATCHED
    with Session.open(target) as session:
        assert [status.condition for status in session.status()] == [Condition.APPLIED]
        session.revert("thing")
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize("seconds", [0, 0.03, 0.1, 0.2, 0.3])
def test_killed_in_the_middle(calling, built, seconds):
    patch = built("pace", long_calls=True)
    waiting = Waiting(patch, "pace", calling.target, "-m", "guarded/slot", "--wait", "60")
    time.sleep(seconds)
    waiting.process.kill()
    waiting.answer()
    with Session.open(calling.target) as session:
        for status in session.status():
            session.revert(status.record.name)


def test_over_a_serial_line(process_guest, user_process, built):
    target = f"{process_guest.serial}#{user_process.pid}"
    waiting = Waiting(built("leaf"), "thing_leaf", target)
    assert "leaf 1004" in user_process.ask()
    status, output, error = waiting.answer()
    assert status == 0, error
    assert output.splitlines()[-1].startswith("right: ")
    assert user_process.ask() == PLAIN


def test_children_have_no_breakpoint(user_process, built):
    """What a child calls is not what is waited for."""
    waiting = Waiting(built("thing"), "thing_value", user_process.target, "--format", "json")
    for _ in range(2):
        assert user_process.ask("fork") == PATCHED
    assert waiting.process.poll() is None
    assert user_process.ask() == PATCHED
    assert json.loads(waiting.answer()[1])["right"]
    assert user_process.ask() == PLAIN


@pytest.fixture
def apart_process(process_guest):
    user = User(process_guest, "apart")
    yield user
    process_guest.run(f"kill -9 {user.pid}")


def test_a_child_in_the_memory_of_its_parent(apart_process, built):
    """It calls the function there, and then executes a program."""
    waiting = Waiting(built("visit", image="apart"), "visit", apart_process.target, "--format", "json")
    assert apart_process.ask("vfork") == "vfork 1 10"
    assert json.loads(waiting.answer()[1])["right"]
    assert apart_process.ask() == "visit 1 1"


def test_another_program_is_executed(apart_process, built):
    waiting = Waiting(built("visit", image="apart"), "visit", apart_process.target)
    apart_process.guest.run("rm -f /tmp/answer; echo exec > /tmp/ask")
    status, output, error = waiting.answer()
    assert (status, output) == (1, "")
    assert f"process {apart_process.pid} has executed another program" in error
    assert apart_process.ask() == "visit 1 1"
    assert is_left_alone(apart_process.guest, apart_process.pid)


def test_a_process_that_ends(user_process, built):
    waiting = Waiting(built("leaf"), "thing_leaf", user_process.target)
    user_process.guest.run(f"kill -9 {user_process.pid}")
    status, output, error = waiting.answer()
    assert (status, output) == (1, "")
    assert f"process {user_process.pid} has ended" in error


def test_a_breakpoint_that_stays_is_removed_later(user_process):
    """The server does not do what it is told: made here, by a stepper that forgets to tell it."""
    with Session.open(user_process.target) as session:
        place = session.running.subject(["libthing.so.1"]).function("thing_value").local_entry
        (before,) = session.target.read_many([(place, 4)])
        demand = ProcessStepper._demand
        with pytest.MonkeyPatch.context() as patched, session.target.stepper() as stepper:
            stepper.stop_at(place)
            patched.setattr(
                ProcessStepper,
                "_demand",
                lambda stepper, *requests: demand(stepper, *(r for r in requests if not r.startswith(b"z0"))),
            )
            stepper.clear()
        assert session.target.read_many([(place, 4)]) == [before]
    assert user_process.ask() == PLAIN
