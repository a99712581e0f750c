"""Debian's kernels and busybox for ppc64el, from the mirror that apt is configured with."""

from oddtoc.debian.kernels import (
    SERIES,
    DebianKernel,
    cache_folder,
    fetch_kernel,
    fetched_kernels,
    find_kernel,
    keep_file,
)

__all__ = ["SERIES", "DebianKernel", "cache_folder", "fetch_kernel", "fetched_kernels", "find_kernel", "keep_file"]
