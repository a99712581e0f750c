"""`oddtoc explain` of a process, which waits for somebody to call."""

import subprocess
import sys


def command(patch, function, target, *words):
    return [sys.executable, "-m", "oddtoc", "explain", patch.path, function, "-t", target, *words]


class Waiting:
    """The command, as soon as it waits for a call."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert "waiting for a call" in self.process.stderr.readline()

    def answer(self):
        output, error = self.process.communicate(timeout=120)
        return self.process.returncode, output, error
