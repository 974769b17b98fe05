#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fetch_logs
short_description: Saves the logs of services on the controller
version_added: 0.2.0
description:
  - Reads the logs of containers through the Docker engine of the machine and writes, for each service, C(<service>-raw-<UTC time>.log),
    C(<service>-errors-<UTC time>.log) with tracebacks whole, C(<service>-filtered-<UTC time>.log) when there is a filter, and
    C(<service>-summary-<UTC time>.json), which is valid JSON whatever happened.
  - Nothing is written on the machine. One remote call reads everything and sends it compressed.
  - Errors are told by the level of JSON lines, of the formats of Python, PostgreSQL, Redis and nginx, and of plain lines; without any
    level by words such as C(error) and C(Traceback). Requests that nginx answered with 500 or more are errors too.
  - Control characters never reach the files. Secrets do neither, unless O(redact=false).
options:
  service:
    description:
      - Names of the services. The default is every service of the machine that has a container.
      - A name that no machine of the play declares is looked for among the containers.
    type: list
    elements: str
    default: []
  since:
    description:
      - Begin of the time span, such as V(15m), V(1h30m), V(3d), V(15 minutes ago) or V(1 hour ago), by the clock of the machine.
      - Or a time with its zone, such as V(2026-11-23T14:46:33Z). Anything else is refused in one sentence.
    type: str
    default: 15m
  until:
    description: End of the time span, like O(since). Empty means now.
    type: str
    default: ""
  output_dir:
    description:
      - Folder on the controller; it is made when it does not exist.
      - When the play has several hosts, each gets a folder with its name in it.
    type: path
    default: ./incident-logs
  filter:
    description: Lines with this text are saved once more. Taken literally, without regard to case; C(regex:) before it makes it a regular expression.
    type: str
    default: ""
  tail:
    description: At most so many lines of each service, the newest ones. V(0) means all.
    type: int
    default: 0
  max_bytes:
    description: At most about so much of each log, the newest lines. The summary says when something is missing.
    type: bytes
    default: 64M
  redact:
    description: Take passwords, tokens, keys and what C(incident_redact) names out of all files.
    type: bool
    default: true
  services:
    description:
      - The services of this machine, as described in the collection's C(docs/architecture.md).
      - The default is the variable C(incident_services). When that is empty too, the services of a Docker host are discovered.
    type: dict
notes:
  - Fails after everything was saved when a named service has no log, and when there is no log at all.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
"""

EXAMPLES = r"""
- name: Save what the backend wrote in the last quarter of an hour
  sre.incident_response.fetch_logs:
    service: [backend]
    since: 15 minutes ago

- name: Save everything about one order
  sre.incident_response.fetch_logs:
    since: 1h
    filter: 'order "[4711]"'
    output_dir: /var/tmp/incident-logs
"""

RETURN = r"""
logs:
  description: The summaries of all services, as they are in the files.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      type: str
      sample: backend
    status:
      description: C(collected), or C(error) with the reason in RV(logs[].error).
      type: str
      sample: collected
    error:
      description: Why there is no log, in one sentence with the names of the containers that exist.
      type: str
    total_log_lines:
      description: Lines in the raw log.
      type: int
      sample: 1800
    errors:
      description: Messages that are errors; a traceback counts once.
      type: int
      sample: 12
    error_lines:
      description: Lines in the error log.
      type: int
      sample: 140
    truncated:
      description: Whether lines of the time span are missing; C(truncated_reason) says why.
      type: bool
      sample: false
    top_error_patterns:
      description: The ten commonest errors, each with C(pattern) and C(count).
      type: list
      elements: dict
    files:
      description: Paths of the files by C(raw_log), C(error_log), C(filtered_log) and C(summary).
      type: dict
skipped_services:
  description: Named services that another machine of the play declares.
  returned: always
  type: list
  elements: str
"""
