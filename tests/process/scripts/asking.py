# put before scripts that follow calls of a program, which is asked as in tests/process/user.py
from contextlib import contextmanager

from oddtoc.explain.choice import map_of, replacement_of
from oddtoc.explain.follow import follow
from oddtoc.explain.story import tell
from oddtoc.explain.trace import Call
from oddtoc.isa import TRAP
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.live.temporary import applied
from oddtoc.report.explain import story_as_json

pid = int(arguments[0])
TRAP_WORD = TRAP.to_bytes(4, "little")


def state():
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    return fields["State"][0], fields["TracerPid"]


def until(found, seconds=120):
    limit = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < limit, found
        time.sleep(0.02)
    return value


def put(line):
    Path("/tmp/answer").unlink(missing_ok=True)
    Path("/tmp/ask").write_text(f"{line}\n")


def said():
    until(Path("/tmp/answer").exists)
    return Path("/tmp/answer").read_text().strip()


def ask(line="say"):
    put(line)
    return said()


@contextmanager
def followed(session, path, library, function, mechanism):
    """Gives what follows a call of a patched function, and the place of its local entry."""
    patch = PatchObject.open(Path(path))
    with applied(session, patch, mechanism=mechanism) as record:
        subject = session.running.subject([library])
        (entry,) = subject.entries([subject.function(function)])
        found = map_of(patch, replacement_of(patch, function), entry, record.replaced[0], subject)

        def trace(call=None, wait=60):
            with session.target.stepper() as stepper:
                return follow(stepper, found, mechanism, call, where="", wait=wait, give_up=lambda: False)

        yield trace, found
