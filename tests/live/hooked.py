"""The function of a kernel that is hooked while callbacks run, and what they say."""

HOOKED = "extfrag_for_order"


def hooked_words(session):
    return session.target.read(session.kernel.function(HOOKED).address, 64)


def said(machine):
    lines = machine.run("dmesg -c | grep callback: || true").stdout.decode().splitlines()
    return [line.partition("callback: ")[2] for line in lines]
