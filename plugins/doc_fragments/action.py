# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of all actions of this collection has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of an action that works on the controller and changes nothing on a machine."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode, where it does the same, because it changes nothing on any machine.
    support: full
  diff_mode:
    description: Returns what it would change.
    support: none
  action:
    description: Runs on the controller.
    support: full
  async:
    description: Can run in the background.
    support: none
options: {}
"""
