# each thread makes a system call for us, three times
waiting = start("waiting")
target = LocalProcess(waiting.pid)
numbers = []
for _ in range(3):
    with target.stopped() as stopped:
        call = find_call(mappings(target), stopped.read_many)
        for thread in stopped.cpus():
            try:
                # getpid
                numbers.append(stopped.run_alone(thread, {"pc": call, "r0": 20}, call + 4).registers["r3"])
            finally:
                stopped.restore(thread)
waiting.wait()
answer(len(numbers), set(numbers) == {waiting.pid})
