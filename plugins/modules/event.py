#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: event
short_description: Puts a line onto the timeline of the run
version_added: 0.1.0
description:
  - Records a note, a decision or a milestone in the journal of the run, from where it gets into the board's timeline and the reports.
  - Runs on the controller and opens no connection, so it also works for a machine that is down.
  - Without the P(sre.incident_response.timeline#callback) callback the event is only returned.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  summary:
    description: What happened, in one line.
    type: str
    required: true
  kind:
    description:
      - What kind of line it is.
      - V(acknowledged), V(mitigated) and V(resolved) also set that time of the incident in the report.
    type: str
    choices: [note, decision, acknowledged, mitigated, resolved]
    default: note
  severity:
    description: How grave it is; unset for neutral.
    type: str
    choices: [info, warning, critical]
  service:
    description: The service it is about.
    type: str
  title:
    description: A name for the incident, used as the title of the report.
    type: str
  time:
    description: When it happened, in ISO-8601, UTC unless it names a zone. Unset means now.
    type: str
  data:
    description: More facts for programs that read the journal.
    type: dict
notes:
  - Each host of the play records its own event; use C(run_once) for one.
seealso:
  - plugin: sre.incident_response.timeline
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Note that the vendor was called
  sre.incident_response.event:
    summary: Payment vendor confirms an outage on their side
    service: payments
  run_once: true

- name: Note since when users are fine again
  sre.incident_response.event:
    kind: mitigated
    summary: Error rate is back to normal
    time: "2026-11-23T14:35:00Z"
  run_once: true
"""

RETURN = r"""
incident_event:
  description: The event as it was recorded; C(time) is ISO-8601 UTC.
  returned: success
  type: dict
  sample:
    check_mode: false
    kind: note
    service: payments
    summary: Payment vendor confirms an outage on their side
    time: "2026-11-23T14:35:00.000Z"
"""
