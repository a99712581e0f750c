"""Switches a patch in a process of the machine that this runs on, by ptrace, and looks at what a client gets.

python3.11 inside.py PID PATCH ROUNDS CHECK PLAIN PATCHED RESULT: CHECK is a command that prints PLAIN or PATCHED. What
came of it is in the file RESULT all the while, as JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session


def main(pid, path, rounds, check, plain, patched, result):
    """Make the rounds, in one session."""
    patch = PatchObject.open(path)
    found = {"rounds": 0, "wrong": [], "pauses": []}

    def look(number, wanted):
        said = subprocess.run(["sh", "-c", check], capture_output=True, text=True, check=False).stdout.strip()
        if said != wanted:
            found["wrong"].append(f"{said!r} and not {wanted!r} in round {number} by pid:{pid}")

    def switch(session, number):
        found["pauses"].append(session.apply(session.plan(patch), timeout=60).commit_pause)
        look(number, patched)
        found["pauses"].append(session.revert(patch.name, timeout=60).commit_pause)
        look(number, plain)
        session.gc()
        found["rounds"] += 1
        new = Path(f"{result}.new")
        new.write_text(json.dumps(found))
        new.rename(result)

    with Session.open(f"pid:{pid}") as session:
        for number in range(int(rounds)):
            switch(session, number)


main(*sys.argv[1:])
