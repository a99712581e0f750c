# each thread makes a system call for us, three times, while the others run
waiting = start("waiting")
target = LocalProcess(waiting.pid)
call = find_call(mappings(target), target.read_many)
numbers = []
for _ in range(3):
    for number in (int(name) for name in os.listdir(f"/proc/{waiting.pid}/task")):
        tracee = Tracee(waiting.pid, number)
        try:
            assert tracee.await_stop()
            # getpid
            numbers.append(lent(tracee, {"pc": call, "r0": 20}).registers["r3"])
        finally:
            tracee.let_go()
waiting.wait()
answer(len(numbers), set(numbers) == {waiting.pid})
