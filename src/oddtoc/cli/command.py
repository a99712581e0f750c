"""What all commands have in common: with --format json their errors are JSON too."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from oddtoc.errors import OddtocError


class Command(TyperCommand):
    """A command that answers in the form that it was asked to, also when it fails; then the text is said as well."""

    def invoke(self, ctx: Any) -> Any:
        """Run it.

        Raises:
            OddtocError: it failed; standard output has got the error, where JSON is expected there.
        """
        try:
            return super().invoke(ctx)
        except OddtocError as error:
            if self._form(ctx) == "json":
                from oddtoc.report.errors import error_json

                typer.echo(error_json(error))
            raise

    def _form(self, ctx: Any) -> str | None:
        """What --format was given."""
        name = next((parameter.name for parameter in self.params if "--format" in parameter.opts), None)
        return ctx.params.get(name) if name else None
