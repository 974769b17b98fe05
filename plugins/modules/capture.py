#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: capture
short_description: Saves what a change of a service would destroy
version_added: 0.2.0
description:
  - Saves the snapshots of the machine's services, and of the container its description, processes, last log lines and, with py-spy on the machine, the
    stacks of a Python.
  - Kept content-addressed in the folder of the run on the controller. Values of the environment and what looks like a secret are left out.
  - One remote call that writes nothing there. Fails when the evidence can't be had or kept.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  service:
    description: Name of the service in C(incident_services).
    type: str
    required: true
  tail:
    description: So many of the last log lines.
    type: int
    default: 1000
seealso:
  - module: sre.incident_response.gate
"""

EXAMPLES = r"""
- name: Save what a restart would destroy
  sre.incident_response.capture:
    service: backend
"""

RETURN = r"""
evidence:
  description: Where it is, relative to the folder of the run.
  returned: always
  type: list
  elements: str
  sample: [evidence/sha256/ab/abcdef]
"""
