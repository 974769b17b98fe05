#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Says whether an incident of tonight could be responded to
version_added: 0.1.0
description:
  - Holds the readiness checks against the controller itself, and against the evidence of the run.
  - M(sre.incident_response.collect) has to collect that before, with O(sre.incident_response.collect#module:depth=deep),
    from the sources C(container), C(pg_access), C(redis_access), C(releases) and C(readiness).
  - Prints a score, and what to do about each gap. What could not be found out is a gap.
  - Writes C(preflight.json) into the folder of the run and, as the newest one, into C(incident_state_dir).
  - Connects to webhooks, and sends them nothing.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  checks:
    description: YAML file with the checks. The default is C(files/readiness.yml) of the role C(preflight).
    type: path
  webhooks:
    description: Webhooks that have to be reachable, by name. Of an address only scheme, host and port are ever shown.
    type: dict
    default: {}
  addresses:
    description: Other addresses that the controller asks, by name. Empty ones are left out.
    type: dict
    default: {}
  timeout_s:
    description: How long connecting to each of them may take, in seconds.
    type: float
    default: 5.0
  fail_below:
    description: Fail when fewer questions than this, in percent, have a good answer. V(0) never fails, V(100) fails for any gap.
    type: int
    default: 0
  thresholds:
    description: Other numbers for single checks, by the id of the check and the level.
    type: dict
    default: {}
  only:
    description: Globs of check ids; only these checks are made. An empty list means all.
    type: list
    elements: str
    default: []
  skip:
    description: Globs of check ids that are left out.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say whether we could respond tonight
  sre.incident_response.preflight:
    webhooks:
      chat: "{{ vault_chat_webhook }}"
    fail_below: 90
"""

RETURN = r"""
ready:
  description: Whether every question has a good answer.
  returned: always
  type: bool
  sample: false
score:
  description: How many of how many questions have a good answer, and the share in percent, rounded down.
  returned: always
  type: dict
  sample: {"ready": 17, "of": 19, "percent": 89}
gaps:
  description: What is not ready, worst first; the file has the answer and what to do for each.
  returned: always
  type: list
  elements: dict
  sample:
    - id: ready.pg.login
      host: db1
      service: db
      severity: critical
preflight_file:
  description: Path of the JSON file.
  returned: always
  type: str
  sample: /var/lib/incidents/runs/01KAS4NF1T9N3V7QZB0C5S2H4E/preflight.json
incident_assessment:
  description: Under which name the workspace of the run keeps the findings.
  returned: always
  type: dict
  sample: {"role": "preflight", "stored": "preflight"}
incident_gate:
  description: The task failed because of what it found, not because it could not do its work.
  returned: when the score is below O(fail_below)
  type: bool
  sample: true
"""
