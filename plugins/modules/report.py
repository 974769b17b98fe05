#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Rebuilds the reports of a run from its journal
version_added: 0.1.0
description:
  - Reads the journal of a run and writes C(report.html), C(report.md), C(report.json) and C(timeline.jsonl) into the run's folder anew.
  - Also works for a run that was killed; the reports then say so.
  - Runs on the controller and opens no connection.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  run:
    description:
      - Id of the run, or the path of its folder.
      - Unset means the newest run.
    type: str
    default: ""
  state_dir:
    description:
      - Folder that holds the runs.
      - Unset means what the environment variable E(INCIDENT_STATE_DIR) says, else V(./incidents).
    type: str
    default: ""
seealso:
  - plugin: sre.incident_response.timeline
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Rebuild the report of the newest run
  sre.incident_response.report:
    state_dir: /srv/incidents
"""

RETURN = r"""
incident_report:
  description: Where the reports are and what they say first.
  returned: success
  type: dict
  contains:
    folder:
      description: Folder of the run.
      type: str
      returned: always
    report:
      description: Path of report.html.
      type: str
      returned: always
    verdict:
      description: The first line of the board.
      type: str
      returned: always
    notice:
      description: One sentence when the run did not come to its end.
      type: str
      returned: always
    status:
      description: How the run ended, C(finished), C(interrupted) or C(unfinished).
      type: str
      returned: always
  sample:
    folder: /srv/incidents/runs/01K5XYZ
    report: /srv/incidents/runs/01K5XYZ/report.html
    verdict: "INCIDENT  db_lock_contention on db (likely, 92)  suggested SEV2"
    notice: null
    status: finished
"""
