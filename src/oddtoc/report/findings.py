"""Findings as text, JSON and SARIF (Static Analysis Results Interchange Format 2.1.0, OASIS)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from oddtoc.check.finding import RULES, Finding, Severity


def findings_text(findings: Sequence[Finding], patch: Path) -> str:
    """A line for each finding, and how many of each severity."""
    lines = [f"{f.severity.value:8} {f.id:17} {f.place}: {f.reason}" for f in findings]
    counts = ", ".join(f"{sum(f.severity is s for f in findings)} {s.value}s" for s in Severity)
    return "\n".join([*lines, f"{patch}: {counts}"])


def findings_json(findings: Sequence[Finding], patch: Path) -> str:
    """The same for programs."""
    return json.dumps({"patch": str(patch), "findings": [finding.plain() for finding in findings]}, indent=2)


def findings_sarif(findings: Sequence[Finding], patch: Path) -> str:
    """The same for code scanners."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()]
    results = [
        {
            "ruleId": finding.id,
            "ruleIndex": list(RULES).index(finding.id),
            "level": finding.severity.value,
            "message": {"text": f"{finding.place}: {finding.reason}"},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": patch.as_posix()}},
                    "logicalLocations": [{"fullyQualifiedName": finding.place}],
                }
            ],
        }
        for finding in findings
    ]
    driver = {"name": "oddtoc check", "rules": rules}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)
