# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report has to say about a drill, whatever the fault: read from the fault's own data. Shared by the molecule scenarios and the drills.

Each function returns sentences about what is not as expected, none when all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sre.incident_response.tests.bench.accuracy import scores
from ansible_collections.sre.incident_response.tests.bench.accuracy.drills import Drill

LAB_KINDS = {"nginx", "fastapi", "postgresql", "redis", "external"}
# Further true causes of the data have to be among so many first ones.
TOP = 3
PROPOSAL_KEYS = {"id", "mitigation", "target", "effect", "undo", "command"}

Report = Mapping[str, Any]


def cause(drill: Drill, report: Report) -> list[str]:
    """The best ranked pattern is one that the data accepts, sure, and in the right place; the others follow. Nothing wrong: no diagnosis at all."""
    ranking = [(entry["pattern"], entry["service"], entry["score"], entry["verdict"]) for entry in report["diagnosis"]]
    if drill.healthy:
        return [f"nothing is wrong, but the diagnosis is {ranking}"] if ranking else []
    if not ranking:
        return ["there is no diagnosis"]
    first, place = report["diagnosis"][0], scores.place_of(report["diagnosis"][0], report["services"])
    problems = []
    if first["pattern"] not in drill.first:
        problems.append(f"expected {' or '.join(sorted(drill.first))} first, the ranking is {ranking}")
    if first["verdict"] != "likely":
        problems.append(f"{first['pattern']} is only {first['verdict']} with {first['score']} points")
    if not any(place in accepted for accepted in drill.services):
        problems.append(f"{first['pattern']} is blamed on {place}, expected {' or '.join(sorted(name for one in drill.services for name in one))}")
    named = {entry[0] for entry in ranking[:TOP]}
    problems += [f"{' or '.join(sorted(one))} is not among the first {TOP}: {ranking}" for one in drill.causes if not one & named]
    return problems


def findings(drill: Drill, report: Report) -> list[str]:
    """Every finding that the data names is reported, at least as severe as it says."""
    missing = scores.too_weak(drill.findings, scores.strongest(report["findings"]))
    return [f"{check}: expected {drill.findings[check]}, found {instead}" for check, instead in missing.items()]


def calm(drill: Drill, report: Report) -> list[str]:
    """Where nothing is wrong no finding is a warning or critical unless the data says so, and nothing was left out."""
    if not drill.healthy:
        return []
    found = scores.strongest(report["findings"])
    problems = [f"{check} is {found[check]}" for check in scores.unexpected(drill.findings, found)]
    problems += [f"not assessed: {entry}" for entry in report["run"]["not_assessed"] if entry["serious"]]
    return problems + ([] if any(finding["state"] == "ok" for finding in report["findings"]) else ["nothing was assessed at all"])


def action(drill: Drill, report: Report) -> list[str]:
    """The first cause comes with a safe action: what it does, how to undo it, and on exactly which target. Nothing wrong: nothing is proposed."""
    if drill.healthy:
        return [f"nothing is wrong, but {proposal['mitigation']} is proposed" for proposal in report["proposals"]]
    proposals = report["proposals"]
    problems = [] if proposals else ["nothing is proposed"]
    first = scores.first_action(report)
    if not scores.is_safe(drill, first):
        problems.append(f"the first action is {first}, safe are {', '.join(sorted(drill.safe_actions | {scores.HARMLESS}))}")
    for proposal in proposals:
        problems += [f"{proposal['mitigation']} has no {name}" for name in sorted(PROPOSAL_KEYS - set(proposal))]
        problems += [f"{proposal['mitigation']} does not say its {name}" for name in ("effect", "target") if not proposal.get(name)]
    return problems


def services(report: Report) -> list[str]:
    """The five services of the lab are in the report, also those that are down."""
    listed = {service["kind"] for service in report["services"]}
    return [] if listed == LAB_KINDS else [f"the report lists services of the kinds {', '.join(sorted(listed))}"]
