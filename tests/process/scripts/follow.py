# a program with eight threads that call pace from when they begin to exist; each gets a signal every second; at last
# who follows is killed in the middle
def kill_who_follows(seconds):
    """In the middle, so long after it has begun."""
    child = os.fork()
    if child == 0:
        with (
            Session.open(f"pid:{pid}") as session,
            followed(session, "/tmp/pace.o", "libstrained.so.1", "pace", "guarded/slot") as (trace, _),
        ):
            while True:
                trace(Call.GLOBAL)
    until(lambda: state()[1] not in ("0", str(child)))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: state()[1] == "0")


with Session.open(f"pid:{pid}") as session:
    library = session.running.subject(["libstrained.so.1"])
    place = library.function("pace").local_entry
    counter = library.image.symbols.one("strained_calls").address
    counts, places = [], []
    with session.target.stepper() as stepper:
        stepper.stop_at(place)
        ask("call")
        thread = stepper.run(60, lambda: False)
        ask("signal")
        for _ in range(4):
            places.append(stepper.registers(thread)["pc"] - place)
            counts.append(int.from_bytes(stepper.read(thread, counter, 8), "little"))
            time.sleep(1.2)
            stepper.step(thread)
# the threads have taken memory that was free before
with Session.open(f"pid:{pid}") as session:
    stories = []
    for mechanism in ("shared-toc", "guarded/slot", "odd-toc/cr4"):
        path = "/tmp/pace-toc.o" if mechanism == "shared-toc" else "/tmp/pace.o"
        with followed(session, path, "libstrained.so.1", "pace", mechanism) as (trace, _):
            for call in (Call.LOCAL, Call.GLOBAL):
                stories.append(json.loads(story_as_json(tell(trace(call), session.running.name_of))))
    parts = []
    for path in ("/tmp/long_pace.o", "/tmp/atomic_pace.o"):
        with followed(session, path, "libstrained.so.1", "pace", "guarded/slot") as (trace, found):
            traced = trace(Call.LOCAL)
            (left_out,) = (number for number, moment in enumerate(traced.moments) if moment.skipped)
            start, end = found.trampoline
            back = start < traced.moments[left_out + 1].state.pc < end
            results = traced.end.registers["r3"] - traced.moments[0].state.registers["r3"]
            parts.append((traced.stopped, back, results))
for seconds in (0, 0.05, 0.2):
    kill_who_follows(seconds)
    with Session.open(f"pid:{pid}") as session:
        for status in session.status():
            session.revert(status.record.name)
signals = [int(word) for word in ask("signalled").split()]
called, wrong, *_ = (int(word) for word in ask("stop").split())
answer(int(thread.rpartition(".")[2], 16) == pid, places, counts, stories, parts, signals, called, wrong, state())
