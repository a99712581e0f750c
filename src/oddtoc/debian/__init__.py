"""Debian's kernels and busybox for ppc64el, from the mirror that apt is configured with."""
