"""oddtoc prove."""

from __future__ import annotations

from typing import Annotated

import typer

from oddtoc.cli.complete import mechanisms
from oddtoc.cli.options import Format, Output


def prove(
    mechanism: Annotated[
        str | None,
        typer.Argument(
            metavar="[MECHANISM]",
            help="A mechanism, such as guarded/slot; all if not given.",
            autocompletion=mechanisms,
        ),
    ] = None,
    process: Annotated[
        bool, typer.Option("--process", help="The trampolines for processes, not those for kernels.")
    ] = False,
    output: Output = Format.TEXT,
) -> None:
    """Prove, for all registers and memory, that a patched call comes back right; show how it can go wrong."""
    import time

    from oddtoc import prove as room
    from oddtoc.mechanism.catalog import MECHANISMS, by_name
    from oddtoc.report.proofs import matrix_as_text, proofs_as_json, proofs_as_text

    start = time.monotonic()
    chosen = [by_name(mechanism)] if mechanism else list(MECHANISMS.values())
    proofs = dict(room.prove_all(chosen, process=process))
    if output is Format.JSON:
        typer.echo(proofs_as_json(proof for found in proofs.values() for proof in found))
    elif mechanism:
        typer.echo(proofs_as_text(chosen[0], proofs[chosen[0]]))
    else:
        typer.echo(matrix_as_text(proofs, time.monotonic() - start))
