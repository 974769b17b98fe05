"""Where the checkout is, and the environment its tools run in."""

from __future__ import annotations

import locale
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LAB_INVENTORY = ROOT / "inventories" / "lab"

# Settings of the caller that would make another collection, inventory or Python answer than the ones of this checkout.
FOREIGN = ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATHS", "ANSIBLE_INVENTORY", "ANSIBLE_ROLES_PATH", "PYTHONHOME", "PYTHONPATH")


def environment() -> dict[str, str]:
    """The caller's environment with the checkout's own tools, settings and state in front."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    env["PATH"] = os.pathsep.join([str(VENV / "bin"), env.get("PATH", os.defpath)])
    env["VIRTUAL_ENV"] = str(VENV)
    env["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    # Molecule names its state after the checkout's base name only: two checkouts would share it outside of them.
    env["ANSIBLE_HOME"] = str(ROOT / ".ansible")
    # Injected facts are on their way out, and molecule does not read ansible.cfg.
    env["ANSIBLE_INJECT_FACT_VARS"] = "false"
    env["MOLECULE_GLOB"] = "molecule/*/molecule.yml"
    if locale.getpreferredencoding(do_setlocale=False).upper().replace("-", "") != "UTF8":
        # Ansible refuses to start in any other encoding.
        env["LC_ALL"] = "C.UTF-8"
    return env
