#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_session
short_description: Looks at single PostgreSQL sessions, and cancels or ends exactly those
version_added: 0.2.0
description:
  - Reaches the server the way triage does (declared login, local socket, psql in the container) and looks at the session, the query or the idle sessions
    of the target.
  - With O(act) one statement checks every condition again and acts on what fits. What does not fit any more is left alone.
  - Superusers, the server's own processes, replication and the roles of C(incident_protected_roles) are never touched.
  - Values travel as settings of the session and never become a part of a statement.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
attributes:
  check_mode:
    description: Looks, and tells a change where it would try one.
    support: full
options:
  service:
    description: Name of the service in C(incident_services).
    type: str
    required: true
  operation:
    description:
      - V(terminate_blocker) ends one session that keeps others waiting and does nothing.
      - V(cancel_query) cancels the query of one session.
      - V(terminate_idle) ends the older half of the idle sessions of one client.
    type: str
    required: true
    choices: [cancel_query, terminate_blocker, terminate_idle]
  act:
    description: Whether to act; otherwise it only looks.
    type: bool
    default: false
  target:
    description: C(pid) and C(backend_start) of a session; C(app), C(client) and C(role) of a client.
    type: dict
    required: true
  options:
    description: C(min_idle_s), C(least_query_s), C(most), C(least_used_pct) and the flags C(active) and C(waiting).
    type: dict
    default: {}
seealso:
  - module: sre.incident_response.gate
"""

EXAMPLES = r"""
- name: Look at a session
  sre.incident_response.pg_session:
    service: db
    operation: terminate_blocker
    target:
      pid: 4711
      backend_start: "2026-11-23T14:03:11.482913+00:00"
  register: session
"""

RETURN = r"""
seen:
  description: What was there before, empty when it is gone.
  returned: success
  type: dict
done:
  description: Process ids that were acted on.
  returned: success
  type: list
  elements: int
gone:
  description: Whether it shows; null when nothing was tried.
  returned: success
  type: bool
reached_by:
  description: V(tcp), V(socket) or V(exec).
  returned: success
  type: str
"""
