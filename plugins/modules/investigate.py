#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: investigate
short_description: Show the evidence of this run about one topic as tables
version_added: 0.2.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Makes tables of what M(sre.incident_response.collect) has gathered on all machines in this run - sessions and top statements of PostgreSQL, large
    keys and busy commands of Redis, requests by route and processes of the application, the way of a request with names, certificates and
    connections.
  - The tables are printed at the end of the run above the board, and are part of its reports.
  - Most of them need evidence that was collected with C(depth=deep). What could not be looked at is a table with the reason.
  - Changes nothing, connects nowhere, and runs in check mode too.
options:
  topic:
    description:
      - What to look at. They are the four sections of an investigation - application errors, database, Redis, network and infrastructure.
      - When no service of that kind is known, RV(msg) says so and there are no tables.
    type: str
    required: true
    choices: [application, database, network, redis]
seealso:
  - module: sre.incident_response.collect
  - module: sre.incident_response.diagnose
"""

EXAMPLES = r"""
- name: Show what PostgreSQL does
  sre.incident_response.investigate:
    topic: database
"""

RETURN = r"""
msg:
  description: What was looked at, in one sentence.
  returned: always
  type: str
  sample: "1 PostgreSQL service on 1 machine: db"
tables:
  description: Number of tables.
  returned: always
  type: int
incident_investigation:
  description: The tables. All cells are texts.
  returned: always
  type: dict
  contains:
    topic:
      description: The topic.
      type: str
    title:
      description: Its title.
      type: str
    summary:
      description: The same as RV(msg).
      type: str
    tables:
      description:
        - Each with C(title), C(service), C(host), C(columns), C(rows), C(numbers) (positions of columns with numbers), C(note), C(reason) (why nobody
          could look) and C(left_out) (rows that did not fit).
      type: list
      elements: dict
"""
