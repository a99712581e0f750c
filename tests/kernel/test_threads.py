"""Tasks and their stacks, found in the memory of running kernels, against what these kernels say themselves."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from asleep import asleep
from oddtoc.build.compile import tool
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image
from oddtoc.kernel.contexts import ContextFinder
from oddtoc.kernel.hidden import Hideouts
from oddtoc.kernel.offsets import find_offsets
from oddtoc.kernel.running import RunningKernel
from oddtoc.kernel.runqueues import find_run_queues
from oddtoc.kernel.stacks import Walker
from oddtoc.kernel.tasks import TaskFinder
from oddtoc.target.qemu import QemuTarget

KERNELS = ["6.1", "6.12", "7.2"]
NOTHING = np.empty(0, np.uint64)
LIST_TASKS = "for t in /proc/[0-9]*/task/*; do echo ${t##*/} $(cat $t/comm); done 2>/dev/null"
COUNT_SWITCHES = (
    "for p in /proc/[0-9]*; do echo ${p#/proc/} $(sed -n 's/.*ctxt_switches:.//p' $p/status); done 2>/dev/null"
)
LIST_STACKS = "for p in /proc/[0-9]*; do echo pid ${p#/proc/}; cat $p/stack; done 2>/dev/null"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name in ("threads", "exits"):
        command = [tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-pthread", "-o", folder / name]
        subprocess.run([*command, Path(__file__).parent / f"programs/{name}.c"], check=True)
    return {f"bin/{program.name}": program for program in folder.iterdir()}


@pytest.fixture(scope="module", params=KERNELS)
def machine(request, guest_factory, programs):
    machine = guest_factory(request.param, files=programs)
    machine.run("threads > /dev/null 2>&1 < /dev/null & sleep 1")
    return machine


class Watched:
    """A guest whose threads are looked at."""

    def __init__(self, target, image):
        self.target = target
        self.kernel = RunningKernel(image, target.read_many)
        self.offsets = find_offsets(image, target.read_many)
        self.finder = TaskFinder(image, self.offsets, target.read_many)
        cpus = self.finder.cpu_count
        self.contexts = ContextFinder(image, self.offsets.stack_size, cpus, target.read_many)
        self.walker = Walker(image, Hideouts.of(image, self.kernel.code_rooms))

    def look(self, explore=True):
        """All tasks, and for each thread its context and walk."""
        while explore:
            with self.target.stopped() as stopped:
                explore = not self.finder.explore(stopped.read_many, 8)
        with self.target.stopped() as stopped:
            cpus, memory = stopped.look(self.finder.requests())
            tasks = self.finder.settle(memory, stopped.read_many)
            contexts = self.contexts.contexts(tasks, cpus)
            stacks = [stopped.read_many([(s.start, s.size) for s in c.stacks]) for c in contexts]
        words = [[np.frombuffer(one, "<u8") for one in stack] for stack in stacks]
        walks = [self.walker.walk(c, w, NOTHING) for c, w in zip(contexts, words, strict=True)]
        return tasks, dict(zip((c.task.address for c in contexts), zip(contexts, walks, strict=True), strict=True))


@pytest.fixture
def watched(machine):
    with QemuTarget.connect(machine.debug_socket) as target:
        yield Watched(target, Image.open(machine.vmlinux))


def listed(machine):
    """(pid, name) of every task; kernel threads may have longer names there, and workers say what they do."""
    lines = machine.run(LIST_TASKS).stdout.decode().splitlines()
    return {(pid, plain(name)) for pid, _, name in (line.partition(" ") for line in lines) if name}


def plain(name):
    return "kworker" if name.startswith("kworker") else name[:15]


@pytest.mark.parametrize("explored", [True, False], ids=["found beforehand", "found inside the stop"])
def test_every_task_is_found(machine, watched, explored):
    before = listed(machine)
    tasks, contexts = watched.look(explored)
    after = listed(machine)
    found = {(str(task.pid), plain(task.comm)) for task in tasks.tasks.values() if task.pid}
    assert before & after <= found
    assert len([name for _, name in found if name == "threads"]) == 6
    appeared = {pid for pid, _ in found} - {pid for pid, _ in before | after}
    assert len(appeared) <= 3, "processes that came and went"
    assert {task.comm for task in tasks.tasks.values() if not task.pid} == {"swapper/0", "swapper/1"}
    assert len(tasks.cpus) == 2
    assert {cpu.current for cpu in tasks.cpus} <= set(tasks.tasks)
    assert set(contexts) <= set(tasks.tasks)


def test_what_was_read_once_serves_two_questions(watched):
    with watched.target.stopped() as stopped:
        _, memory = stopped.look(watched.finder.requests())
        first = watched.finder.settle(memory, stopped.read_many)
        assert len(first.tasks) > 8
        assert watched.finder.settle(memory, stopped.read_many) == first


def switches(machine):
    """(pid, how often it gave up its processor, how often it lost it) of every task."""
    lines = machine.run(COUNT_SWITCHES).stdout.decode().splitlines()
    return {tuple(map(int, line.split())) for line in lines if len(line.split()) == 3}


def test_stacks_are_walked_as_the_kernel_walks_them(machine, watched):
    """Tasks that slept all the while: the kernel's list, which leaves out the scheduler, ends ours."""
    symbols = watched.kernel.image.symbols
    before = switches(machine)
    found, ours = watched.look()
    shown = machine.run(LIST_STACKS).stdout.decode()
    slept = before & switches(machine)
    theirs = {}
    for block in shown.split("pid ")[1:]:
        pid, *lines = block.splitlines()
        names = [re.sub(r"\+0x.*", "", line.split("] ")[1]) for line in lines if "] " in line]
        if "__switch_to" in names:
            # the first line is a stale one and may say anything; addresses are of tasks that ran meanwhile
            behind = len(names) - names[::-1].index("__switch_to")
            if not any(name.startswith("0x") for name in names[behind:]):
                theirs[int(pid)] = [name for name in names[behind:] if not name.startswith("system_call_")]
    compared = 0
    for address, task in found.tasks.items():
        if task.pid not in {pid for pid, _, _ in slept} or not theirs.get(task.pid):
            continue
        owners = [symbols.at(a) for a in ours[address][1].returns]
        mine = [
            owner.name
            for owner in owners
            if owner and not owner.name.startswith(("system_call_", "enable_machine_check"))
        ]
        assert mine[-len(theirs[task.pid]) :] == theirs[task.pid], task
        assert mine[:2] == ["__switch_to", "__schedule"]
        compared += 1
    assert compared > 30


def test_of_a_resting_stack_only_return_addresses_count(watched):
    """Hundreds of words lie there; if many of them counted, patches would wait for what has long returned."""
    _, contexts = watched.look()
    resting = [(c, walk) for c, walk in contexts.values() if not c.registers]
    assert len(resting) > 40
    for context, walk in resting:
        text = [word for word in walk.words if watched.walker.is_kernel(word)]
        assert len(text) <= len(walk.returns) + 4, context.task


@pytest.mark.parametrize("series", ["6.12", "7.2"])
def test_members_are_where_the_kernels_own_types_say(kernels, guest_factory, series):
    image = Image.open(kernels[series].vmlinux)
    btf = Btf.of(image)
    machine = guest_factory(series)
    with QemuTarget.connect(machine.debug_socket) as target:
        found = find_offsets(image, target.read_many)
    for member in ("stack", "tasks", "signal", "thread_node", "comm", "pid"):
        assert getattr(found, member) == btf.offset("task_struct", member), member
    assert found.ksp == btf.offset("task_struct", "thread") + btf.offset("thread_struct", "ksp")
    assert found.thread_head == btf.offset("signal_struct", "thread_head")
    assert found.current == btf.offset("paca_struct", "__current")
    assert found.hidden.ret_stack == btf.offset("task_struct", "ret_stack")
    assert found.hidden.ret_index == btf.offset("task_struct", "curr_ret_stack")
    assert found.hidden.instances == (btf.offset("task_struct", "rethooks"),)
    waiting = find_run_queues(image, [0])
    assert waiting.heads == (image.symbols.one("runqueues").address + btf.offset("rq", "cfs_tasks"),)
    assert waiting.node == btf.offset("task_struct", "se") + btf.offset("sched_entity", "group_node")
    assert btf.offset("mutex", "owner") == 0
    assert btf.offset("rethook_node", "ret_addr") - btf.offset("rethook_node", "llist") == 16
    assert btf.offset("pt_regs", "nip") == 32 * 8 and btf.offset("pt_regs", "msr") == 33 * 8
    machine.stop()


def test_tasks_that_wait_are_in_the_run_queues(machine, watched, monkeypatch):
    """Found there alone: the lists lead nowhere."""
    monkeypatch.setattr(TaskFinder, "_walk", lambda *_: set())
    machine.run("for n in 1 2 3 4 5 6; do (while :; do :; done < /dev/null > /dev/null 2>&1 &) done; sleep 1")
    tasks, _ = watched.look(explore=False)
    machine.run("kill $(ps | awk '/while|{sh}|sh$/ {print $1}')")
    assert len([task for task in tasks.tasks.values() if task.comm == "sh"]) >= 6


def test_a_task_that_appears_after_the_search_is_found_in_the_stop(machine, watched):
    watched.look()
    machine.run("sleep 30 > /dev/null 2>&1 < /dev/null & " + asleep("sleep"))
    tasks, _ = watched.look(explore=False)
    assert any(task.comm == "sleep" for task in tasks.tasks.values())
    machine.run("killall sleep")


@pytest.mark.parametrize("series", ["7.2"])
def test_a_task_that_exits_is_found_when_it_has_left_all_lists(guest_factory, programs, series):
    """7.2 is preempted in the middle of an exit."""
    machine = guest_factory(series, files=programs)
    machine.run("exits > /dev/null 2>&1 < /dev/null &")
    with QemuTarget.connect(machine.debug_socket) as target:
        watched = Watched(target, Image.open(machine.vmlinux))
        finder, exiting = watched.finder, set()
        walk = finder._walk

        def walked(*arguments):
            listed.clear()
            listed.update(walk(*arguments))
            return set(listed)

        listed = set()
        finder._walk = walked
        for _ in range(5000):
            tasks, contexts = watched.look(explore=False)
            running = {cpu.current for cpu in tasks.cpus}
            exiting = {a for a, task in tasks.tasks.items() if a not in listed | running and task.comm == "exits"}
            if exiting:
                break
    assert exiting, "none was seen in 5000 looks"
    symbols = watched.kernel.image.symbols
    for address in exiting:
        # all that counts for it: in its epilogue, a function's return address is in no frame of the chain any more
        names = {symbols.at(place).name for place in contexts[address][1].words if symbols.at(place)}
        assert "do_exit" in names
    machine.stop()
