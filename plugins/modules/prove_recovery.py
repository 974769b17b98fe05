#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prove_recovery
short_description: Looks at a service until it is proven that a mitigation helped
version_added: 0.2.0
description:
  - Collects fresh evidence and makes the checks that the mitigation is judged by, again and again, until the service was fine several times in a row or
    the time is over. What is not known proves nothing.
  - Only looks, so that it never fails because of what it sees; the gate decides what follows.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
options:
  mitigation:
    description: The role whose C(files/mitigation.yml) names the checks.
    type: str
    required: true
  service:
    description: Name of the service in C(incident_services).
    type: str
    required: true
  probes:
    description: So many good looks in a row are proof.
    type: int
    default: 3
  interval_s:
    description: Seconds between two looks.
    type: float
    default: 3.0
  timeout_s:
    description: After so many seconds it is not proven.
    type: float
    default: 60.0
seealso:
  - module: sre.incident_response.gate
"""

EXAMPLES = r"""
- name: Prove that the backend is back
  sre.incident_response.prove_recovery:
    mitigation: restart_service
    service: backend
"""

RETURN = r"""
proven:
  description: Whether it helped.
  returned: success
  type: bool
looks:
  description: How often it looked.
  returned: success
  type: int
"""
