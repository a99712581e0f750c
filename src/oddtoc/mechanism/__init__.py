"""Trampolines and the mark: who restores r2, and where the return state waits."""
