"""oddtoc sign and oddtoc verify: who may patch what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oddtoc.cli.options import Format, Output
from oddtoc.errors import SignatureError

Object = Annotated[Path, typer.Argument(metavar="PATCH.o", help="A patch object from oddtoc build.")]


def sign(
    patch: Object,
    key: Annotated[
        Path, typer.Option("--key", "-k", metavar="KEY", help="An SSH private key, or a public one held by an agent.")
    ],
    output: Output = Format.TEXT,
) -> None:
    """Sign a patch object with an SSH key; the signature is PATCH.o.sig."""
    from oddtoc.link.object import PatchObject
    from oddtoc.report.signatures import signed_json, signed_text
    from oddtoc.trust.signature import sign

    PatchObject.open(patch)
    signature = sign(patch, key)
    typer.echo((signed_json if output is Format.JSON else signed_text)(patch, signature))


def verify(
    patch: Object,
    allowed_signers: Annotated[
        Path | None,
        typer.Option("--allowed-signers", metavar="FILE", help="Who may sign, for ssh-keygen [what the policy says]."),
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Check the signature of a patch object."""
    from oddtoc.link.object import PatchObject
    from oddtoc.report.signatures import verified_json, verified_text
    from oddtoc.trust.policy import current_policy
    from oddtoc.trust.signature import signature_of, verify

    signers = allowed_signers or current_policy().allowed_signers
    if signers is None:
        raise SignatureError("nobody is allowed to sign", advice="give --allowed-signers FILE, or write a policy")
    signer = verify(PatchObject.open(patch).content, signature_of(patch), signers)
    typer.echo((verified_json if output is Format.JSON else verified_text)(patch, signer))
