#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: The probe as an ordinary module, for connections that can't take standard input
version_added: 0.1.0
author: sre.incident_response contributors (!UNKNOWN)
description:
  - M(sre.incident_response.collect) and M(sre.incident_response.fetch_logs) use it where they can't feed their probe to the machine's Python.
    Use those actions in playbooks.
  - Reads only. Needs Python 3.8 on the machine.
options:
  request:
    description: The request of such an action as JSON text.
    type: str
    required: true
attributes:
  check_mode:
    description: Can run in check mode, where it does the same, because it only reads.
    support: full
  diff_mode:
    description: Returns what it would change.
    support: none
seealso:
  - module: sre.incident_response.collect
"""

EXAMPLES = r"""
- name: Ask the machine itself only
  sre.incident_response.probe:
    request: '{"services": {}, "sources": ["host"]}'
"""

RETURN = r"""
evidence:
  description: The evidence document that C(docs/architecture.md) describes, without what only the controller knows.
  returned: success, when evidence was asked for
  type: dict
answer:
  description: What the steps of a mitigation asked for, see M(sre.incident_response.pg_session) and M(sre.incident_response.capture).
  returned: success, when one of them asked
  type: dict
logs:
  description: The logs that M(sre.incident_response.fetch_logs) asked for, packed.
  returned: success, when logs were asked for
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.incident_response.plugins.module_utils.probe import answer, capture, fetch, pg_act, runner


def main() -> None:
    """Answer one request."""
    # The request may hold passwords.
    module = AnsibleModule(argument_spec={"request": {"type": "str", "required": True, "no_log": True}}, supports_check_mode=True)
    try:
        request = json.loads(module.params["request"])
    except ValueError as error:
        module.fail_json(msg=f"request is not JSON: {error}")
        return
    runner.end_anyway(request)
    runner.volunteer_for_oom()
    if request.get("entry") == "fetch":
        module.exit_json(changed=False, logs="\n".join(fetch.answer(request)))
    others = {"pg_act": pg_act.answer, "capture": capture.answer}
    if request.get("entry") in others:
        module.exit_json(changed=False, answer=answer.told(others[request["entry"]], request))
    module.exit_json(changed=False, evidence=runner.collect(request))


if __name__ == "__main__":
    main()
