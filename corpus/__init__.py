"""Every fix between two Debian versions of a kernel: built, applied to the older one that runs, and reverted."""
