# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action ``assess`` does, without Ansible: choose the checks, build the picture, evaluate, and sum up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .check_entries import EXPRESSION_KEYS, Check, CheckError, load_checks, select_checks
from .checks import evaluate_all
from .derived import SOURCES_OF
from .estate import Estate
from .evidence import SOURCES
from .findings import FINDING, OK, SEVERITIES, UNKNOWN, Finding, clean_text, value_text
from .history import previous_releases
from .supplements import SUPPLEMENTS, supplemented
from .text import plural

__all__ = ["CheckError", "assess", "chosen_checks", "counts", "short", "sources_of"]

ROLES = Path(__file__).resolve().parents[2] / "roles"
_WORD = re.compile(r"(?<![\w.])(?:machine\.)?([a-z_]+)(?=\.)")
_DERIVED = re.compile(r"derived\.([a-z_]+)")


def chosen_checks(entries: Any, role: str, thresholds: Any, only: Any, skip: Any) -> list[Check]:
    """The role's checks with the user's thresholds and selection; raises CheckError with one sentence.

    ``entries`` is a list of check entries or the path of a YAML file with one.
    """
    ours = isinstance(entries, str) and Path(entries).resolve().is_relative_to(ROLES)
    if isinstance(entries, str):
        entries = read_entries(Path(entries))
    # Tests look through this collection's own entries, so that not every run has to.
    return select_checks(load_checks(entries, role, thresholds, validated=ours), globs(only, f"{role}_only"), globs(skip, f"{role}_skip"))


def read_entries(path: Path) -> Any:
    """Content of a file with check entries."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except (OSError, yaml.YAMLError) as error:
        raise CheckError(f"the checks in {clean_text(path)} can't be read: {clean_text(error)}") from error


def globs(value: Any, option: str) -> list[str]:
    """A list of globs; one text counts as a list of one."""
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(entry, str) for entry in values):
        raise CheckError(f"{option} must be a list of check ids or globs, not {value_text(value)}")
    return [str(entry) for entry in values]


def sources_of(checks: Sequence[Check]) -> list[str]:
    """Names of all sources that the checks look at: those they need, and those that their expressions only mention."""
    names: set[str] = set()
    for check in checks:
        for need in check.entry["needs"]:
            names.update(SUPPLEMENTS.get(str(need), (str(need).removeprefix("machine."),)))
        for text in _expressions(check):
            names.update(_WORD.findall(text))
            for fact in _DERIVED.findall(text):
                names.update(SOURCES_OF.get(fact, ()))
    return sorted(names & set(SOURCES))


def _expressions(check: Check) -> list[str]:
    """The texts of an entry's expressions without what stands in quotes."""
    texts = [str(check.entry[key]) for key in EXPRESSION_KEYS if check.entry.get(key)]
    texts += [str(value) for key in ("facts", "target") for value in (check.entry.get(key) or {}).values()]
    return [re.sub(r"'[^']*'", "", text) for text in texts]


def assess(
    checks: Sequence[Check],
    documents: Sequence[Mapping[str, Any]],
    role: str,
    host: str | None,
    run: Path,
    options: Mapping[str, Any] | None = None,
    until: float | None = None,
) -> list[Finding]:
    """Findings of the checks about one host's services, or about all (``host`` None). ``run`` is the folder of this run.

    What is not evaluated by ``until`` (epoch) is unknown.

    ``options`` are settings of what the controller works out itself, such as ``trend_min_span_s``.
    """
    documents = supplemented(documents, {str(need) for check in checks for need in check.entry["needs"]}, run, options or {})
    used = {fact for check in checks for text in _expressions(check) for fact in _DERIVED.findall(text)}
    estate = Estate(documents, previous_releases(documents, run) if "deploy" in used else None)
    return evaluate_all(checks, list(estate.subjects(host, bool(used))), role, until)


def short(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What a playbook may want to look at after ``register``: everything that is not ok, in few keys."""
    return [
        {"id": finding.id, "state": finding.state, "severity": finding.severity, "service": finding.service, "host": finding.host, "summary": finding.summary}
        for finding in findings
        if finding.state != OK and finding.severity != "info"
    ]


def counts(findings: Sequence[Finding]) -> str:
    """``1 critical, 2 unknown, 14 ok``."""
    parts = []
    for severity in reversed(SEVERITIES):
        number = sum(1 for finding in findings if finding.state == FINDING and finding.severity == severity)
        if number:
            parts.append(f"{number} {severity}")
    for state in (UNKNOWN, OK):
        number = sum(1 for finding in findings if finding.state == state)
        if number:
            parts.append(f"{number} {state}")
    return ", ".join(parts) or f"none of {plural(0, 'check')} applies"
