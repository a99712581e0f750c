"""C source to patch object."""
