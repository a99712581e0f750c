"""The laboratory: every mechanism against every scenario, on real machine code under qemu-ppc64le."""
