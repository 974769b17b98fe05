#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Rank the causes over all findings of this run
version_added: 0.1.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Holds incident patterns, which are data, against everything that M(sre.incident_response.assess) found in this run on all machines.
  - A gate decides which patterns are candidates, weights give them points, and a candidate whose evidence a deeper one accounts for counts half.
    60 points are C(likely), 35 C(possible). When something is wrong and nothing fits, the diagnosis is C(unclassified_incident).
  - Names the safest action for each likely cause with its exact target and the command to paste. A fact that can't be put into a command
    safely leaves the proposal without one.
  - Suggests SEV1 to SEV4 from what users notice. Where users come in could not be looked at, the worse is assumed.
  - Changes nothing, connects nowhere, and runs in check mode too. Runs once however many hosts the task has.
options:
  patterns:
    description: Folder with the pattern files, one C(<id>.yml) each.
    type: path
    required: true
  fail_on:
    description:
      - V(warning) or V(critical) reports in RV(breached) that there is such a finding. The task itself does not fail for it, so that the diagnosis
        is recorded first.
      - Empty means never.
    type: str
    default: ""
  scope:
    description:
      - V(host) diagnoses in the task of the first host of the play; the tasks of the others do nothing.
      - V(run) is for a play of its own on the controller.
    type: str
    choices: [host, run]
    default: host
requirements:
  - jmespath on the controller
seealso:
  - module: sre.incident_response.assess
"""

EXAMPLES = r"""
- name: Rank the causes with the patterns of the collection
  ansible.builtin.include_role:
    name: sre.incident_response.incident_diagnosis

- name: Rank the causes with patterns of our own
  sre.incident_response.diagnose:
    patterns: "{{ playbook_dir }}/patterns"
    fail_on: critical
  register: our_diagnosis
"""

RETURN = r"""
incident_diagnosis:
  description: The diagnosis. The timeline callback records it.
  returned: on the host that diagnoses
  type: dict
  contains:
    diagnosis:
      description:
        - Causes, best first; empty when there is no warning and no critical finding.
        - Each has C(pattern title family service host score verdict why symptom_of first_action verify escalate confounders unknown).
          C(why) are findings with their evidence, C(unknown) are checks that could not be made and would change the points.
      type: list
      elements: dict
    proposals:
      description: One for each likely cause that is no symptom of another, C(id pattern service host mitigation target effect undo command run_on note).
        C(run_on) says where the command is run, V(machine) or V(controller).
      type: list
      elements: dict
    severity:
      description: V(SEV1) to V(SEV4), null without a warning or critical finding.
      type: str
    severity_reason:
      description: Why, in one sentence.
      type: str
    exonerated:
      description: Services and machines that were looked at completely and are fine.
      type: list
      elements: str
    services:
      description: Each service with its state, C(critical), C(warning), C(unknown) or C(ok).
      type: list
      elements: dict
    not_assessed:
      description: One sentence for each machine and source that could not be looked at.
      type: list
      elements: str
    verdict:
      description: All of it in one sentence.
      type: str
      sample: "likely: Sessions wait for a lock in the database (db_lock_contention on db, 100 of 100)"
breached:
  description: Whether there is a finding of the level O(fail_on) or above.
  returned: success
  type: bool
breach:
  description: The sentence for it, else empty.
  returned: on the host that diagnoses
  type: str
"""
