# what is at the address does not change in a stop, and changes between two; signals arrive all the while
busy = start("busy")
target = LocalProcess(busy.pid)
place = mappings(target)[0].span.start + int(arguments[0])
still, moved, counts, frames, traced, before = [], [], set(), [], set(), bytes(64)
Path("/tmp/send").touch()
for _ in range(10):
    with target.stopped() as stopped:
        threads, (seen,) = stopped.look([(place, 64)])
        time.sleep(0.01)
        still.append(stopped.read_many([(place, 64)]) == [seen])
        chains = stopped.read_many([(thread.registers["r1"], 8) for thread in threads])
        frames += [int.from_bytes(c, "little") - t.registers["r1"] for t, c in zip(threads, chains, strict=True)]
        tasks = Path(f"/proc/{busy.pid}/task").iterdir()
        traced |= {f"TracerPid:\t{os.getpid()}\n" in (task / "status").read_text() for task in tasks}
    counts.add(len(threads))
    moved.append(all(seen[n : n + 8] != before[n : n + 8] for n in range(0, 64, 8)))
    before = seen
    time.sleep(0.2)
while Path("/tmp/send").exists():
    time.sleep(0.1)
free, threads = runs(busy), status(busy, "Threads")
busy.kill()
answer(all(still), all(moved), sorted(counts), 0 < max(frames) < 1 << 20, list(traced), free, threads)
