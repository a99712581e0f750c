"""Findings about a patch object before it is applied, each with an id, a place and a reason."""
