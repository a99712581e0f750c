"""Switches a patch in a process of the machine that this runs on, by ptrace, and looks at what a client gets.

python3.11 inside.py PID PATCH ROUNDS KIND PORT RESULT, beside client.py, which says what KIND is. What came of it is in
the file RESULT all the while, as JSON.
"""

import sys

from client import look, tell

from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session

COLLECT_EVERY = 5


def main(pid, path, rounds, kind, port, result):
    """Make the rounds, in one session."""
    patch = PatchObject.open(path)
    found = {"rounds": 0, "wrong": [], "pauses": []}

    def check(wanted):
        seen = look(kind, port)
        if seen != wanted:
            found["wrong"].append(f"{seen} and not {wanted} in round {found['rounds'] + 1} by pid:{pid}")

    with Session.open(f"pid:{pid}") as session:
        for number in range(int(rounds)):
            applied = session.apply(session.plan(patch), timeout=60)
            check("patched")
            reverted = session.revert(patch.name, timeout=60)
            check("plain")
            if number % COLLECT_EVERY == 0:
                session.gc()
            found["rounds"] += 1
            found["pauses"] += [applied.commit_pause, reverted.commit_pause]
            tell(result, found)


main(*sys.argv[1:])
