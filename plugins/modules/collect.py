#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: collect
short_description: Gather the evidence of one machine and its services
version_added: 0.1.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Runs one probe on the machine that asks the kernel, the Docker engine and every service at the same time, each with its own
    time limit, and stores the answers in the workspace of the run on the controller.
  - The probe is fed to the machine's Python on standard input. Nothing is written there, so it also works when the disk is full.
    Connections that can't take standard input get the same code as an ordinary module.
  - Changes nothing, and runs in check mode too.
  - A machine that can't be reached, or a source that can't be asked, is evidence with a reason. The task does not fail for it.
options:
  services:
    description:
      - The services of this machine, as described in the collection's C(docs/architecture.md).
      - The default is the variable C(incident_services). When that is empty too, the services of a Docker host are discovered.
      - An entry that is wrong is reported in RV(incident_evidence.problems) and the others are probed.
    type: dict
  sources:
    description:
      - Ask only these sources.
      - The default is all that fit the machine and its services.
    type: list
    elements: str
    choices: [container, cgroup, process, volume, http, tls, logs, postgresql, redis, dns, host, disk, docker, changes, kernel, processes, connections,
      pg_detail, redis_detail]
  depth:
    description:
      - V(triage) is the short look of every run.
      - V(deep) looks longer and further back (O(options.sample_s) 3, O(options.log_window_s) 3600, O(options.log_baseline_s) 21600,
        O(options.http_probes) 8 and O(options.budget_s) 40 are its defaults) and asks four more sources, which are never asked otherwise -
        V(processes), V(connections), V(pg_detail) and V(redis_detail). It only reads too.
    type: str
    choices: [triage, deep]
    default: triage
  host_root:
    description:
      - For tests and drills. Folder on the machine with a recorded tree (files of C(/proc) and C(/etc), and C(recorded.json)) that is read
        instead of the machine's own, by the sources V(host) and V(disk) and for the clock. Containers and services are asked as always.
      - That it was used is told among the assumptions of the report.
      - The default is the variable C(incident_host_root); empty means the machine itself.
    type: path
  options:
    description: Limits and windows of the probe. Keys that end in C(_s) are seconds.
    type: dict
    suboptions:
      log_window_s:
        description: Errors in the logs are counted in this window.
        type: int
        default: 900
      log_baseline_s:
        description: They are compared with this time before it.
        type: int
        default: 3600
      log_max_bytes:
        description: At most so much of each container's log is read.
        type: int
        default: 33554432
      sample_s:
        description: Time between the two readings of counters such as CPU time.
        type: float
        default: 0.25
      budget_s:
        description:
          - After this time the probe reports what it has.
          - The variable C(incident_budget_s) (60) is the time for all machines of a task together, counted from the first question on. A machine
            whose turn comes late has less, and one whose turn comes too late is not asked and is told as not finished.
        type: float
        default: 20
      http_timeout_s:
        description: Limit for one HTTP request.
        type: float
        default: 5
      http_probes:
        description: Requests to each endpoint.
        type: int
        default: 3
      db_timeout_s:
        description: Limit for connecting to and asking PostgreSQL or Redis.
        type: float
        default: 5
      dns_timeout_s:
        description: Limit for resolving one name.
        type: float
        default: 5
      docker_timeout_s:
        description: Limit for one question to the Docker engine.
        type: float
        default: 5
      event_window_s:
        description: How far back the events of containers matter.
        type: int
        default: 1800
      change_window_s:
        description: How far back a change counts as recent.
        type: int
        default: 86400
notes:
  - Without root (O(ignore:become=true)) the open files and sockets of other users' processes are unknown, and without access to the Docker
    socket everything about containers.
"""

EXAMPLES = r"""
- name: Gather the evidence of a machine
  sre.incident_response.collect:
    services: "{{ incident_services | default(omit) }}"
  become: true

- name: Look only at the machine itself, with a longer CPU sample
  sre.incident_response.collect:
    sources: [host, disk]
    options:
      sample_s: 2
"""

RETURN = r"""
incident_evidence:
  description: What was collected, without the evidence itself, which is in the workspace of the run.
  returned: always
  type: dict
  contains:
    host:
      description: Inventory name of the machine.
      type: str
    workspace:
      description: Folder of this run on the controller.
      type: str
    collected_at:
      description: Time on the machine, ISO-8601 UTC.
      type: str
    duration_s:
      description: Seconds that the probe took.
      type: float
    reachable:
      description: Whether the machine answered.
      type: bool
    reason:
      description: Why not, in one sentence.
      type: str
    clock:
      description: The machine's clock against the controller's, in seconds. C(offset_s) is positive when the machine is ahead.
      type: dict
    discovered:
      description: Whether the services were discovered because none were declared.
      type: bool
    assumptions:
      description: What discovery assumed, in sentences.
      type: list
      elements: str
    problems:
      description: What is wrong in C(incident_services), each with C(service) and C(sentence).
      type: list
      elements: dict
    services:
      description: Kind of each service by name.
      type: dict
    sources_asked:
      description: Number of sources that were asked.
      type: int
    sources_failed:
      description: Number of sources that could not look.
      type: int
"""
