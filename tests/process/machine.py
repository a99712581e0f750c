"""A guest with processes in it, for tests."""


class Machine:
    """A guest with a gdbserver on a port of this machine, and one on a serial line if it has one."""

    def __init__(self, made, line=None):
        self.guest, self.server, self.endpoint = made.guest, made.server, made.endpoint
        self.run, self.start, self.put = made.run, made.start, made.put
        self.serial = line
        if line:
            self.start("while :; do gdbserver --multi /dev/hvc4; done")

    def program(self, name, log="/dev/null", threads=1):
        """Start a program, and wait until it is that one and no shell any more, with its threads."""
        pid = self.start(f"exec {name}", log)
        self.run(f"until [ $(readlink /proc/{pid}/exe) = /bin/{name} ]; do sleep 0.1; done")
        self.run(f"until [ $(ls /proc/{pid}/task | wc -l) = {threads} ]; do sleep 0.1; done")
        return pid

    def python(self, script, *words, timeout=600):
        """What a script prints that runs in the guest, where oddtoc is installed."""
        return self.run(f"cd /; HOME=/tmp python3.11 - {' '.join(words)} <<'END' 2>&1\n{script}\nEND", timeout=timeout)

    def oddtoc(self, words, timeout=600):
        """What the command prints in the guest."""
        return self.run(f"cd /; HOME=/tmp python3.11 -m oddtoc {words} 2>&1", timeout=timeout)

    def status(self, pid, field):
        """A field of /proc/PID/status."""
        return self.run(f"grep ^{field}: /proc/{pid}/status").partition(":")[2].strip()
