"""What a kernel has said, without what it says of a host that is slow."""

COMMAND = "dmesg | grep -v 'hrtimer: interrupt took' || true"
