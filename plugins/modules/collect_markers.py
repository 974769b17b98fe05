#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: collect_markers
short_description: Read the deploy markers of a pipeline
version_added: 0.2.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Reads when which version of which service was deployed, and by whom, from a file or an HTTP address, and stores what concerns the services
    of this run in its workspace for the checks.
  - A marker has C(time) (ISO-8601, or seconds or milliseconds since 1970), and may have C(service) (the service's or its container's name),
    C(version) and C(who). Those of the last week are used.
  - Runs on the controller, changes nothing, follows no redirect, and runs in check mode too.
  - What can't be read is an answer with a reason. The task does not fail for it.
options:
  file:
    description: Path on the controller of a file with JSON lines, one marker each, or with a YAML or JSON list of markers.
    type: str
    default: ""
  url:
    description: Address that answers with a JSON list of markers, or with an object that has it as C(markers). A login may stand in it.
    type: str
    default: ""
  headers:
    description: Headers of the request to O(url), such as C(Authorization).
    type: dict
    default: {}
  timeout_s:
    description: Seconds for the answer of O(url), at most 60.
    type: int
    default: 5
  scope:
    description: V(host) keeps what concerns the services of the task's host, V(run) those of all hosts of this run.
    type: str
    choices: [host, run]
    default: host
seealso:
  - module: sre.incident_response.assess
"""

EXAMPLES = r"""
- name: Read what the pipeline has deployed
  sre.incident_response.collect_markers:
    file: /var/lib/deploys/markers.jsonl
    scope: run
"""

RETURN = r"""
markers:
  description: Number of markers of the last week.
  returned: success
  type: int
  sample: 3
reason:
  description: Why some or all of them could not be read, in one sentence; empty when they could.
  returned: success
  type: str
  sample: ""
"""
