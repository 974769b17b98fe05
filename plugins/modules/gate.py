#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Decides whether a mitigation may change its target
version_added: 0.2.0
description:
  - Reads what the newest triage proposed and what of it was approved, decides whether it may be done now, and keeps the ledger of what was begun and how
    it ended in C(mitigations) of the state directory.
  - What is refused fails the task with one sentence that says what to do next. Every decision is an event of the journal.
  - One that was begun and has not ended keeps everybody else out; the ledger says who that is. When that run was killed, the next one finishes its work.
  - Runs on the controller and opens no connection.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
attributes:
  diff_mode:
    description: Shows the target, the effect and the undo of what is or would be done.
    support: full
options:
  stage:
    description:
      - V(plan) shows all proposals, or chooses the one that C(incident_approve) names.
      - V(open) decides about one target that was just looked at and, when it goes on, writes down that it was begun.
      - V(close) writes down how it ended, and fails unless it is proven.
    type: str
    required: true
    choices: [plan, open, close]
  mitigation:
    description: The role that does it. Needed by V(open).
    type: str
    default: ''
  service:
    description: The service that is changed. Needed by V(open).
    type: str
    default: ''
  target:
    description: Identity of what is changed, as the proposal says.
    type: dict
    default: {}
  seen:
    description: What a fresh look saw of it.
    type: raw
  options:
    description: Settings of the role that decide whether the target still fits, such as C(min_idle_s).
    type: dict
    default: {}
  proposal:
    description: Id of the proposal, empty for a target that somebody gave.
    type: str
    default: ''
  run:
    description: The triage that made the proposal.
    type: str
    default: ''
  resume:
    description: Id of the mitigation that a run which was killed left behind.
    type: str
    default: ''
  entry:
    description: What V(open) returned as RV(entry). Needed by V(close).
    type: str
    default: ''
  outcome:
    description: How it ended. Needed by V(close).
    type: str
    choices: ['', verified, not_proven, not_applied, failed]
    default: ''
  sentence:
    description: What was done, and what the proof says.
    type: str
    default: ''
  evidence:
    description: Where the evidence is kept that was saved before, relative to the folder of the run.
    type: list
    elements: str
    default: []
notes:
  - Reads the variables C(incident_approve), C(incident_id), C(incident_evidence_max_age) (900 s), C(incident_force_reason), C(incident_mitigations),
    C(incident_protected_roles), C(incident_services) and C(incident_actor).
seealso:
  - module: sre.incident_response.prove_recovery
  - module: sre.incident_response.capture
"""

EXAMPLES = r"""
- name: Show what the newest triage proposes
  sre.incident_response.gate:
    stage: plan
"""

RETURN = r"""
verdict:
  description: V(plan), V(approved), V(proceed), V(verify), V(nothing) or V(refuse); of the stage V(close) its O(outcome).
  returned: always
  type: str
  sample: proceed
plan:
  description: What is to be done, where, and to what; empty when nothing was approved.
  returned: always
  type: dict
proceed:
  description: Whether the target may be changed now.
  returned: by the stage V(open)
  type: bool
verify:
  description: Whether there is something to prove afterwards.
  returned: by the stage V(open)
  type: bool
entry:
  description: Id in the ledger, empty when nothing was begun.
  returned: by the stage V(open)
  type: str
incident_decision:
  description: The event of the journal.
  returned: always
  type: dict
"""
