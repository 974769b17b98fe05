#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: assess
short_description: Hold the checks of a role against the evidence of this run
version_added: 0.1.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Evaluates check entries, which are data, over the evidence documents in the workspace of the run, on the controller.
  - An entry is a question with JMESPath expressions for its value and its thresholds; C(docs/architecture.md) describes its keys and
    C(docs/checks.md) lists those that the collection brings.
  - Every check has one of three outcomes per service or machine, C(ok), C(finding) and C(unknown). A source that failed, a value that is
    missing and an expression that does not fit are C(unknown), each with its reason. What does not apply is left out.
  - Changes nothing, connects nowhere unless evidence of the host is missing, and runs in check mode too.
options:
  role:
    description: Name of the role that the checks belong to. Messages name it, and what was found is stored under it.
    type: str
    required: true
  checks:
    description:
      - A list of check entries, or the path of a YAML file on the controller that holds one.
      - The default is C(files/checks.yml) of the role that the task is in, outside of a role that of the collection's role with this name.
    type: raw
  thresholds:
    description:
      - Other numbers for single checks, by id and level, such as a V(warning) of 70 for C(pg.conn.used_pct). V(null) switches a level off.
      - An unknown id or level fails.
      - The default is the variable named like the role with C(_thresholds) after it, else nothing.
    type: dict
  only:
    description:
      - Globs of check ids. Only these checks are made; an empty list means all.
      - The default is the variable named like the role with C(_only) after it, else C(incident_checks), else all.
    type: list
    elements: str
  skip:
    description:
      - Globs of check ids that are left out.
      - The default is the variable named like the role with C(_skip) after it, else C(incident_checks_skip), else nothing.
    type: list
    elements: str
  scope:
    description:
      - V(host) assesses the host of the task. What its checks need and this run does not have yet is collected first.
      - V(run) assesses every host whose evidence was collected in this run, and fails when there is none.
      - The default is the variable named like the role with C(_scope) after it, else C(incident_scope), else V(host).
    type: str
    choices: [host, run]
  options:
    description: Settings of what the controller works out itself.
    type: dict
    suboptions:
      trend_min_span_s:
        description: The points of a trend must be at least so many seconds apart, from the first to the last.
        type: float
        default: 3600
      trend_latency_limit_ms:
        description: Latency that counts as the end of a trend.
        type: float
        default: 5000
requirements:
  - jmespath on the controller
seealso:
  - module: sre.incident_response.collect
  - module: sre.incident_response.diagnose
"""

EXAMPLES = r"""
- name: Ask a question of our own about every PostgreSQL
  sre.incident_response.assess:
    role: our_checks
    checks:
      - id: pg.conn.many
        question: Are more than 50 sessions open?
        kinds: [postgresql]
        needs: [postgresql]
        value: postgresql.snapshot.connections.client_backends
        warning: 50
        role: state
        message: "{value} sessions are open"
  register: our_checks

- name: Show what is not ok
  ansible.builtin.debug:
    var: our_checks.findings
"""

RETURN = r"""
findings:
  description: Everything that is not ok, in few keys, worst first; findings of severity info are left out.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the check.
      type: str
    state:
      description: V(finding) or V(unknown).
      type: str
    severity:
      description: V(warning) or V(critical); null when the state is V(unknown).
      type: str
    service:
      description: Name of the service, empty for a machine.
      type: str
    host:
      description: Inventory name of the machine.
      type: str
    summary:
      description: One sentence of at most 200 characters, without control characters.
      type: str
  sample:
    - {id: pg.conn.used_pct, state: finding, severity: critical, service: db, host: db1, summary: "97 of 97 connection slots are in use (100 %)"}
incident_assessment:
  description:
    - The role, and the name under which the workspace of the run keeps all its findings, those that are ok included, with every key of the
      contract in C(docs/architecture.md).
    - The timeline callback records them.
  returned: success
  type: dict
  sample: {role: pg_connection_check, stored: pg_connection_check@db1}
"""
