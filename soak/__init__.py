"""Patched functions under the heaviest load that a guest can make, while patches come and go."""
