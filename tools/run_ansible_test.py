"""Run ansible-test on this checkout, wherever it lies: `run_ansible_test.py sanity|units [options]`.

ansible-test insists on a real directory `ansible_collections/<namespace>/<name>` and on a pip bootstrap script from its own
server. So it gets a copy of the files that git knows or would know, and a home directory inside the checkout whose cache holds
a script that needs no server.
"""

from __future__ import annotations

import filecmp
import os
import pathlib
import re
import shutil
import subprocess
import sys

import ansible_test
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "ansible-test"
# Results and virtual environments of ansible-test: what makes a second run fast.
KEPT = ("tests", "output")


def main(arguments: list[str]) -> int:
    """Bring the copy up to date and run ansible-test in it."""
    meta = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    copy = WORK / "ansible_collections" / meta["namespace"] / meta["name"]
    synchronize(copy)
    env = environment(WORK / "home")
    # ansible-test asks git which files belong to the collection, and git must not answer for the checkout around the copy.
    for command in (["init", "--quiet", "."], ["read-tree", "--empty"], ["add", "--all", "."]):
        subprocess.run(["git", *command], cwd=copy, env=env, check=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return subprocess.run(["ansible-test", arguments[0], "--python", version, *arguments[1:]], cwd=copy, env=env, check=False).returncode


def known_files() -> set[pathlib.Path]:
    """Files of the work tree that are committed or could be, relative to the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split("\0")
    return {pathlib.Path(name) for name in listed if name and (ROOT / name).is_file()}


def synchronize(copy: pathlib.Path) -> None:
    """Make the copy hold exactly the known files; unchanged ones are left alone."""
    copy.mkdir(parents=True, exist_ok=True)
    wanted = known_files()
    for path in [path for path in copy.rglob("*") if path.is_file() or path.is_symlink()]:
        name = path.relative_to(copy)
        if name.parts[0] != ".git" and name.parts[:2] != KEPT and name not in wanted:
            path.unlink()
    for name in wanted:
        source, target = ROOT / name, copy / name
        if target.is_file() and filecmp.cmp(source, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def environment(home: pathlib.Path) -> dict[str, str]:
    """The caller's environment with another home, but with the caller's own pip settings and cache."""
    user = pathlib.Path.home()
    env = os.environ | {"HOME": str(home)}
    env.setdefault("PIP_CACHE_DIR", str(user / ".cache" / "pip"))
    for settings in (user / ".config" / "pip" / "pip.conf", user / ".pip" / "pip.conf"):
        if settings.is_file():
            env.setdefault("PIP_CONFIG_FILE", str(settings))
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "tools" / "get_pip_shim.py", cache / f"get_pip_{pip_version().replace('.', '_')}.py")
    return env


def pip_version() -> str:
    """The pip that this ansible-test wants in its virtual environments; it is part of the bootstrap script's name."""
    source = pathlib.Path(ansible_test.__path__[0], "_internal", "python_requirements.py")
    found = re.search(r"""pip=['"]([0-9.]+)['"]""", source.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{source} does not say which pip it wants; look there and adapt pip_version() in {__file__}")
    return found.group(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
