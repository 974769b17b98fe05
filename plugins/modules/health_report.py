#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_report
short_description: Writes the state of all services as JSON and text
version_added: 0.1.0
description:
  - Sums up the evidence and findings of the run in C(health-all-services-<UTC time>.json) and a C(.log) with the same name.
  - Knows three states. What could not be checked is V(unknown), which is never counted as V(healthy).
  - A finding of severity warning or critical is V(unhealthy).
  - The JSON is valid whatever is down; a missing answer is C(null).
  - Runs on the controller and opens no connection.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  output_dir:
    description: Folder on the controller for the two files; it is made when it does not exist.
    type: path
    default: ./health-check-results
  fail:
    description: Fail when a service is unhealthy or when its state could not be found out, after the files are written.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Report the health of all services
  sre.incident_response.health_report:
    output_dir: /var/log/health
"""

RETURN = r"""
incident_gate:
  description: The task failed because of what it found, not because it could not do its work.
  returned: when it fails because not everything is healthy
  type: bool
  sample: true
health_file:
  description: Path of the JSON file.
  returned: always
  type: str
  sample: /var/log/health/health-all-services-20261123T140911Z.json
overall_status:
  description: The worst state, C(healthy), C(unhealthy) or C(unknown).
  returned: always
  type: str
  sample: healthy
total_checks:
  description: How many checks were asked for.
  returned: always
  type: int
  sample: 9
healthy:
  description: How many of them are healthy.
  returned: always
  type: int
  sample: 9
unhealthy:
  description: How many of them are unhealthy.
  returned: always
  type: int
  sample: 0
unknown:
  description: How many of them could not be answered.
  returned: always
  type: int
  sample: 0
"""
