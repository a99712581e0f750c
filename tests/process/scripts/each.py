# a process of this machine is patched, traced while it is, and the patch taken back
import json
import sys
import time
from pathlib import Path

from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.trace.tracer import Tracer

ANSWER = Path("/tmp/answer")


def ask():
    ANSWER.unlink(missing_ok=True)
    Path("/tmp/ask").write_text("say\n")
    while not ANSWER.exists():
        time.sleep(0.01)
    return ANSWER.read_text().strip()


with Session.open(f"pid:{sys.argv[1]}") as session:
    session.apply(session.plan(PatchObject.open("/tmp/thing.o")))
    patched = ask()
    conditions = [status.condition.value for status in session.status()]
    with Tracer(session, [sys.argv[2]], returns=True) as tracer:
        traced = ask()
        counts = [(one.calls, one.returns) for one in tracer.read().counts]
    session.revert("thing")
print(json.dumps([patched, conditions, traced, counts, ask()]))
