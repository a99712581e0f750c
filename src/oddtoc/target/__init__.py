"""Something that runs and can be stopped: debug protocol, QEMU guest."""
