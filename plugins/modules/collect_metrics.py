#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the action plugin of the same name does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: collect_metrics
short_description: Ask a Prometheus about the services of this run
version_added: 0.2.0
author: sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment: [sre.incident_response.action]
description:
  - Asks the HTTP API of a Prometheus (or of what speaks its language) for error ratio, latency, request rate and saturation of the services
    that this run knows, all queries at the same time, and stores the answers in the workspace of the run for the checks.
  - The window is the last hour, or more when the logs say that errors began earlier; half an hour before their onset belongs to it.
  - Runs on the controller, changes nothing, follows no redirect, and runs in check mode too.
  - A Prometheus that can't be asked, and a mistake in the queries, is an answer with a reason. The task does not fail for it.
options:
  url:
    description: Address of the Prometheus, such as V(http://prometheus.example.com:9090). A login may stand in it.
    type: str
    required: true
  headers:
    description: Headers of every request, such as C(Authorization).
    type: dict
    default: {}
  queries:
    description: Path of a YAML file on the controller with the queries; C(roles/metrics_check/files/queries.yml) is the one that the collection brings.
    type: path
    required: true
  labels:
    description: Labels that choose the series of a service, by its name. The default for a service is C(job) with its name.
    type: dict
    default: {}
  window_s:
    description: So many seconds before now are looked at, at least 300.
    type: int
    default: 3600
  rate_s:
    description: Seconds over which counters become rates; at least four times the scrape interval.
    type: int
    default: 300
  timeout_s:
    description: Seconds for all answers together, at most 60.
    type: int
    default: 10
  scope:
    description: V(host) asks about the services of the task's host, V(run) about those of all hosts of this run.
    type: str
    choices: [host, run]
    default: host
requirements:
  - jmespath on the controller
seealso:
  - module: sre.incident_response.assess
"""

EXAMPLES = r"""
- name: Ask Prometheus about all services of this run
  sre.incident_response.collect_metrics:
    url: http://prometheus.example.com:9090
    queries: queries.yml
    labels:
      backend: {job: shop, env: production}
    scope: run
"""

RETURN = r"""
series:
  description: Number of series with at least one value.
  returned: success
  type: int
  sample: 9
incident_metrics:
  description:
    - The series in few points, for the charts of the report - C(from), C(start), C(end), C(onset), C(series) (each with C(id), C(measure), C(name),
      C(unit), C(service), C(host) and C(points), which are pairs of epoch and value) and C(cut).
  returned: success
  type: dict
reason:
  description: Why there is none, in one sentence; empty when there is.
  returned: success
  type: str
  sample: ""
"""
