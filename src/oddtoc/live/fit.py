"""Whether a patch fits what runs, before anything about it is decided."""

from __future__ import annotations

from collections.abc import Sequence

from oddtoc.check.finding import RULES, Finding, Severity
from oddtoc.check.patch import check_patch
from oddtoc.errors import MismatchError, PatchError
from oddtoc.link.object import PatchObject
from oddtoc.live.journal import Journal
from oddtoc.live.record import Record
from oddtoc.live.running import Subject
from oddtoc.live.tables import has_tables


def check_kernel(subject: Subject, patch: PatchObject) -> None:
    """Whether a patch that is for one kernel is for this one."""
    if patch.kernel is not None and patch.kernel != subject.image.build_id:
        here = subject.image.build_id.hex() if subject.image.build_id else "none"
        raise MismatchError(
            f"{patch.name} was made for the kernel with the build id {patch.kernel.hex()}; here is {here}",
            advice="build it again from the diff, for the kernel that runs",
        )


def findings(subject: Subject, patch: PatchObject) -> list[Finding]:
    """What there is to say about a patch for something that runs."""
    return check_patch(patch, subject, name=patch.images[0])


def check_findings(subject: Subject, patch: PatchObject) -> None:
    """Stop at errors that nothing else here would meet; they are about kernels."""
    if subject.in_process:
        return
    for finding in findings(subject, patch):
        if finding.severity is Severity.ERROR and finding.id in ("init-code", "tables-not-found"):
            raise PatchError(f"{finding.place} {finding.reason}", function=finding.place, advice=RULES[finding.id])


def check_first(journal: Journal, patch: PatchObject, beside: Sequence[Record]) -> None:
    """Whether the part of the patch that finds the tables of this one is in force, or comes with it."""
    if patch.first is not None and has_tables(patch):
        name = patch.first.name
        if not journal.is_applied(name) and not any(record.name == name for record in beside):
            raise PatchError(f"{patch.name} can't be applied before {name}, which finds its tables")
