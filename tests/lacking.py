# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does that needs something which this machine lacks."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str, remedy: str, provided: bool = False) -> NoReturn:
    """Skip the test, and say what is missing and how to get it.

    ``provided``: `./run test` installs or builds it. Where CI=true it must be there, so that its absence can't hide what the test would find.
    """
    sentence = f"{what}; {remedy}"
    if provided and os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
