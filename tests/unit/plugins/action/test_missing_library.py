# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller without jmespath, which ansible-core does not bring."""

from __future__ import annotations

from types import ModuleType

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sre.incident_response.plugins.action import assess, diagnose
from ansible_collections.sre.incident_response.plugins.plugin_utils import controller_action
from ansible_collections.sre.incident_response.tests.unit.plugins.child import run_python

IMPORTS = """
import sys
sys.modules["jmespath"] = None
from ansible_collections.sre.incident_response.plugins.action import assess, diagnose
from ansible_collections.sre.incident_response.plugins.plugin_utils import controller_action
print(controller_action.MISSING is not None, assess.ActionModule.needs_jmespath, diagnose.ActionModule.needs_jmespath)
"""


def test_plugins_load_without_it() -> None:
    """Documentation and the other actions of the collection work all the same."""
    done = run_python(IMPORTS)
    assert (done.stdout, done.returncode) == ("True True True\n", 0), done.stderr


@pytest.mark.parametrize("action", [assess, diagnose])
def test_actions_say_how_to_get_it(action: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence instead of a traceback."""
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments, **_options: {})
    monkeypatch.setattr(controller_action, "MISSING", ImportError("No module named 'jmespath'"))
    with pytest.raises(AnsibleActionFail, match="pip install jmespath"):
        action.ActionModule.__new__(action.ActionModule).run()
