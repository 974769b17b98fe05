# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the timeline, shared by the callback and the file that loads it next to this collection's playbooks."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible reads the text below."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Folder that holds the runs, each in C(runs/<run id>/).
      - The variable may also be set in the inventory or in the play, where it is read for the first host of the play.
      - When it can't be written, the run is kept in a temporary folder and one sentence says so.
    type: path
    default: ./incidents
    vars:
      - name: incident_state_dir
    env:
      - name: INCIDENT_STATE_DIR
    ini:
      - section: callback_sre_incident
        key: state_dir
  redact:
    description:
      - More secrets that must never be written or printed, beside those that are recognised by their look.
      - Plain texts of at least three characters, or regular expressions written as V(regex:...).
      - The variable may also be set in the inventory or in the play, where it is read for the first host of the play.
    type: list
    elements: str
    default: []
    vars:
      - name: incident_redact
    env:
      - name: INCIDENT_REDACT
    ini:
      - section: callback_sre_incident
        key: redact
"""
