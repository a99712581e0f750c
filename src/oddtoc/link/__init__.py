"""Relocation of a patch object against a running target's symbols."""
