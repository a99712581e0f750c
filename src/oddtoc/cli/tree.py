"""The tree of the commands, as data for the manual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from oddtoc.report.manual import CommandHelp


def command_helps(app: typer.Typer) -> list[CommandHelp]:
    """What every command says about itself, in the order of the help."""
    return list(_below(typer.main.get_command(app), ""))


def _below(group: Any, prefix: str) -> Iterator[CommandHelp]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield _one(prefix + name, command)


def _one(name: str, command: Any) -> CommandHelp:
    context = typer.Context(command, info_name=name)
    parameters = [parameter for parameter in command.params if parameter.get_help_record(context)]
    return CommandHelp(
        name=name,
        usage=" ".join(filter(None, map(_usage, parameters))),
        about=command.help,
        parameters=tuple(_record(parameter, context) for parameter in parameters),
    )


def _usage(parameter: Any) -> str:
    """How it is written where the whole command is; nothing for an option that may be left out."""
    if parameter.param_type_name == "argument":
        name: str = parameter.metavar
        return name if parameter.required or name.startswith("[") else f"[{name}]"
    return f"{max(parameter.opts, key=len)} {parameter.metavar}" if parameter.required else ""


def _record(parameter: Any, context: typer.Context) -> tuple[str, str]:
    """How it is written, and what it means."""
    written, meaning = parameter.get_help_record(context)
    # the type of an argument says less than its name
    return (parameter.metavar if parameter.param_type_name == "argument" else written), meaning
