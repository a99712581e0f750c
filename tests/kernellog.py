"""What a kernel has said, as commands for its guest."""

SAID = "dmesg | grep -v 'hrtimer: interrupt took' || true"
"""All of it, without what it says of a host that is slow."""
COMPLAINTS = "dmesg | grep -iE 'oops|bug:|warning:|call trace|unable to handle' || true"
"""What it complains of."""
