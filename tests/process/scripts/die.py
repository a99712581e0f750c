# who holds a process is killed; a process that job control has stopped is looked at
busy = start("busy")
child = os.fork()
if child == 0:
    with LocalProcess(busy.pid).stopped():
        os.kill(os.getpid(), signal.SIGKILL)
ended = os.waitpid(child, 0)[1]
time.sleep(0.2)
free = runs(busy)
os.kill(busy.pid, signal.SIGSTOP)
time.sleep(0.2)
with LocalProcess(busy.pid) as target, target.stopped() as stopped:
    threads = len(stopped.cpus())
time.sleep(0.2)
state = status(busy, "State")
os.kill(busy.pid, signal.SIGCONT)
time.sleep(0.2)
again = runs(busy)
busy.kill()
answer(ended, free, threads, state, again)
