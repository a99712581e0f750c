"""One patched call, instruction by instruction: on a stage under qemu-ppc64le, or caught in a guest."""
