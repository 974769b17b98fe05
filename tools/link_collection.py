"""Link this checkout into the running virtual environment: its names resolve from any directory, and edits are live."""

from __future__ import annotations

import pathlib
import sys
import sysconfig

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> int:
    """Make or renew `ansible_collections/<namespace>/<name>`: in site-packages for Ansible, under .cache for mypy, which refuses site-packages."""
    meta = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    for folder in (pathlib.Path(sysconfig.get_path("purelib")), ROOT / ".cache" / "collections"):
        link = folder / "ansible_collections" / meta["namespace"] / meta["name"]
        if link.exists() and not link.is_symlink():
            print(f"{link} is an installed copy that would hide this checkout; remove it and start again", file=sys.stderr)
            return 1
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
