"""Signatures of patch objects, for people and programs."""

from __future__ import annotations

import json
from pathlib import Path


def signed_text(patch: Path, signature: Path) -> str:
    """Where the signature is."""
    return f"{signature}: the signature of {patch}"


def signed_json(patch: Path, signature: Path) -> str:
    """The same as JSON."""
    return json.dumps({"path": str(patch), "signature": str(signature)}, indent=2)


def verified_text(patch: Path, signer: str) -> str:
    """Who signed it."""
    return f"{patch}: signed by {signer}"


def verified_json(patch: Path, signer: str) -> str:
    """The same as JSON."""
    return json.dumps({"path": str(patch), "signer": signer}, indent=2)
