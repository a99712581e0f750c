"""oddtoc: live patching for ppc64le."""
