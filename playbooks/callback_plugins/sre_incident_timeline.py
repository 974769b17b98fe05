# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load the timeline for every playbook of this collection, and for every playbook that imports one, without configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sre_incident_timeline
type: aggregate
short_description: Loads the timeline of sre.incident_response for this collection's own playbooks
version_added: 0.1.0
description:
  - The same as P(sre.incident_response.timeline#callback), which ansible-core finds here without being told.
author:
  - sre.incident_response contributors (!UNKNOWN)
extends_documentation_fragment:
  - sre.incident_response.timeline
"""

from ansible_collections.sre.incident_response.plugins.callback.timeline import CallbackModule as Timeline


class CallbackModule(Timeline):
    """The timeline, enabled because this file is next to the playbook."""

    CALLBACK_NAME = "sre_incident_timeline"
    CALLBACK_NEEDS_ENABLED = False
