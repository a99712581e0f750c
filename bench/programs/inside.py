"""Runs in the guest of bench.process: patches a process of the guest by ptrace, a step for each line that it is sent.

Each is answered with the seconds that the process stood still for it, as oddtoc says; 0 where nothing was committed.
"""

import socket
import sys

from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session


def main(host: str, port: str, path: str) -> None:
    """Do what comes, until the other end hangs up."""
    patch = PatchObject.open(path)
    lines = socket.create_connection((host, int(port))).makefile("rw")
    session = plan = None
    for line in lines:
        command, _, word = line.strip().partition(" ")
        seconds = 0.0
        if command == "open":
            session = Session.open(f"pid:{word}")
            session.__enter__()
        elif command == "close":
            session.close()
        elif command == "seize":
            with session.target.stopped():
                pass
        elif command == "plan":
            plan = session.plan(patch) if word == "apply" else None
        elif command == "apply":
            seconds = session.apply(plan).commit_pause
        elif command == "revert":
            seconds = session.revert(patch.name).commit_pause
        elif command == "gc":
            session.gc()
        lines.write(f"{seconds}\n")
        lines.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
