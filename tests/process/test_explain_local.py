"""Calls caught in processes of the machine that oddtoc itself runs on: in a guest, with oddtoc inside of it."""

import json
import signal
from pathlib import Path

import pytest
from test_explain_process import COSTS, MECHANISMS
from user import PATCHED, PLAIN, User

SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE = 1500
THREADS = 8


@pytest.fixture(scope="module")
def answers(process_guest, built):
    """Runs a script about a program in the guest, and gives what it answers."""
    patches = {"pace-toc": built("pace"), "visit": built("visit", image="apart"), "thing": built("thing")}
    patches |= {name: built(name, long_calls=True) for name in ("pace", "long_pace", "atomic_pace")}
    for name, patch in patches.items():
        process_guest.put(patch.path, f"/tmp/{name}.o")

    def run(name, program):
        user = User(process_guest, program)
        script = "".join((SCRIPTS / f"{part}.py").read_text() for part in ("common", "asking", name))
        printed = process_guest.python(script, str(user.pid), timeout=PATIENCE)
        process_guest.run(f"kill -9 {user.pid}")
        try:
            return user.pid, json.loads(printed.splitlines()[-1])
        except (ValueError, IndexError):
            raise AssertionError(printed) from None

    return run


@pytest.fixture(scope="module")
def followed(answers):
    """What scripts/follow.py answers."""
    _, found = answers("follow", "strain")
    names = ("is_first", "places", "counts", "stories", "parts", "signals", "called", "wrong", "state")
    return dict(zip(names, found, strict=True))


@pytest.fixture(scope="module")
def left(answers):
    """The process, and what scripts/leave.py answers of it."""
    pid, (found,) = answers("leave", "user")
    return pid, found


def test_calls_are_shown_by_every_mechanism(followed):
    found = {}
    for story in followed["stories"]:
        assert story["right"], story["verdict"]
        places = [step["place"] for step in story["steps"]]
        assert (places[0], places[-1]) == ("caller", "caller again")
        assert ("global entry" in places) == (story["call"] == "global")
        found[story["mechanism"], story["call"]] = story["cost"]["in"], story["cost"]["back"]
    assert found == {(name, call): COSTS[name, call] for name in MECHANISMS for call in ("local", "global")}


def test_the_rest_of_a_replacement_is_left_out(followed):
    """It is too long, or has what can't be stepped: a trap waits where it returns, which other threads pass."""
    assert followed["parts"] == [[None, True, 1]] * 2


def test_a_new_thread_is_stepped_while_all_others_run(followed):
    assert not followed["is_first"]
    # of the handler nothing is seen
    assert followed["places"] == [0, 4, 8, 12]
    first, *others = followed["counts"]
    # the thread itself has added one at most
    assert first + 1 < others[0] < others[1] < others[2]


def test_every_signal_arrives_with_its_value(followed):
    """Three for the thread that stood still meanwhile, one after the other."""
    sent, received, sent_values, received_values = followed["signals"]
    assert sent > 4 * THREADS
    assert (received, received_values) == (sent, sent_values)


def test_the_program_behaves_as_ever(followed):
    assert followed["called"] > 0 == followed["wrong"]
    assert followed["state"] == ["S", "0"]


def test_the_command_shows_a_call(left):
    assert left[1]["called"] == [0, PATCHED, True]


def test_nobody_calls(left):
    status, said, asked = left[1]["nobody"]
    assert (status, asked) == (1 << 8, PLAIN)
    assert "no call of thing_value came in 1 s" in said
    assert "--wait" in said


def test_children_have_no_trap(left):
    assert left[1]["forked"] == [[PATCHED, PATCHED], True]


def test_interrupted_behind_a_stop_by_job_control(left):
    ctrl_c = (128 + signal.SIGINT) << 8
    assert left[1]["interrupted"] == [ctrl_c, True, True, ["S", "0"], PLAIN]


def test_killed_while_the_trap_stands(left):
    """Nobody takes the patch back, but who traces takes the trap out."""
    assert left[1]["killed"] == [signal.SIGKILL, True, True, PATCHED, ["applied"], PLAIN]


def test_who_traces_is_killed(left):
    status, said, *process = left[1]["alone"]
    assert status == 1 << 8
    assert "the process that traces for oddtoc has ended" in said
    assert process == [True, ["S", "0"], PLAIN]


def test_a_process_that_ends(left):
    pid, found = left
    status, said = found["ended"]
    assert status == 1 << 8
    assert f"process {pid} has ended" in said


def test_a_child_in_the_memory_of_its_parent_and_another_program(answers):
    pid, found = answers("apart", "apart")
    is_parent, vforked, told, asked, state = found
    assert (is_parent, vforked) == (True, "vfork 1 10")
    assert f"process {pid} has executed another program" in told
    assert (asked, state) == ("visit 1 1", ["S", "0"])
