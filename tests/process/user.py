"""Running programs that are asked, and what user.c says."""

PLAIN = "value 2 3 sum 55 inside 56 leaf 5 4 chosen 5 adler 1ff104df 1ff104df"
# thing_value(3) is 301 (300 and thing_leaf(0)), hidden(301) 903, thing_sum of 1 to 9 and 3 is 48 and 1000
PATCHED = "value 101 201 sum 1055 inside 1951 leaf 5 -5 chosen 5 adler 1ff104df 1ff104df"


class User:
    """One of them, asked through pipes in the guest's /tmp (programs/ask.h)."""

    def __init__(self, process_guest, command="user"):
        self.guest = process_guest
        process_guest.run("rm -f /tmp/ask /tmp/answer")
        self.pid = process_guest.start(f"exec {command}", "/tmp/user")
        self.target = f"{process_guest.server}#{self.pid}"
        process_guest.run("until [ -p /tmp/ask ]; do sleep 0.1; done")

    def ask(self, line="say"):
        return self.guest.run(
            f"rm -f /tmp/answer; echo {line} > /tmp/ask; until [ -e /tmp/answer ]; do sleep 0.02; done; cat /tmp/answer"
        ).strip()
