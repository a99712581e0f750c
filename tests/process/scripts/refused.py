# what is said of processes that can't be held
def said(pid):
    try:
        with LocalProcess(pid) as target, target.stopped():
            return ""
    except OddtocError as error:
        return str(error)


sleeper = start("sleep", "1000")
missing, kernel = said(99999), said(2)
server = start("gdbserver", "--attach", "127.0.0.1:3335", str(sleeper.pid))
while status(sleeper, "TracerPid") == "0":
    time.sleep(0.1)
traced = said(sleeper.pid)
server.kill()
server.wait()
os.setuid(65534)
os.environ["HOME"] = os.environ["XDG_RUNTIME_DIR"] = "/tmp/nobody"
Path("/tmp/nobody").mkdir(mode=0o700)
answer(missing, kernel, traced, said(sleeper.pid))
