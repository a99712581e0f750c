# the command is ended in every way while it waits for a call, or the program does something else meanwhile
from oddtoc.cli import main
from oddtoc.cli.explain import explain
from oddtoc.errors import TargetError


def memory(place):
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.seek(place)
        return file.read(4)


def explaining(*words):
    """The command in a process of its own, as soon as the trap stands."""
    Path("/tmp/said").write_text("")
    child = os.fork()
    if child == 0:
        file = os.open("/tmp/said", os.O_WRONLY | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = ["oddtoc", "explain", "/tmp/thing.o", "thing_value", "-t", f"pid:{pid}", *words]
        try:
            main()
        except SystemExit as error:
            os._exit(error.code or 0)
        os._exit(0)
    until(lambda: memory(place) == TRAP_WORD or os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    return child


def ended(child):
    return os.waitpid(child, 0)[1]


with Session.open(f"pid:{pid}") as session:
    place = session.running.subject(["libthing.so.1"]).function("thing_value").local_entry
right = memory(place)
answers = {}

child = explaining("--format", "json")
asked = ask()
answers["called"] = ended(child), asked, json.loads(Path("/tmp/said").read_text().partition("\n")[2])["right"]

child = explaining("--wait", "1")
answers["nobody"] = ended(child), Path("/tmp/said").read_text(), ask()

child = explaining("--wait", "60")
children = ask("fork"), ask("fork")
answers["forked"] = children, memory(place) == TRAP_WORD
os.kill(pid, signal.SIGSTOP)
until(lambda: state()[0] in "tT")
time.sleep(1)
stopped = state()[0] in "tT"
os.kill(pid, signal.SIGCONT)
until(lambda: state()[0] == "S")
os.kill(child, signal.SIGINT)
answers["interrupted"] = ended(child), stopped, memory(place) == right, state(), ask()

child = explaining("--wait", "60")
traced = state()[1] not in ("0", str(child))
os.kill(child, signal.SIGKILL)
killed = ended(child)
until(lambda: state()[1] == "0")
word = memory(place) != TRAP_WORD
asked = ask()
with Session.open(f"pid:{pid}") as session:
    conditions = [status.condition.value for status in session.status()]
    session.revert("thing")
answers["killed"] = killed, traced, word, asked, conditions, ask()

# who traces it is killed: nobody else could take the trap out in time, but who has asked does
child = explaining("--wait", "60")
os.kill(int(state()[1]), signal.SIGKILL)
answers["alone"] = ended(child), Path("/tmp/said").read_text(), memory(place) == right, state(), ask()

child = explaining("--wait", "60")
os.kill(pid, signal.SIGKILL)
answers["ended"] = ended(child), Path("/tmp/said").read_text()
answer(answers)
