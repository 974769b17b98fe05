"""Check the built tarball with Galaxy's own importer: what it would refuse or warn about must be known before a release."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

SETTINGS = """\
[galaxy-importer]
RUN_ANSIBLE_DOC = True
RUN_ANSIBLE_LINT = True
CHECK_REQUIRED_TAGS = True
LOG_LEVEL_MAIN = INFO
"""


def main(folder: pathlib.Path) -> int:
    """Import the one tarball of a folder; warnings of the importer are printed and count as failure."""
    tarballs = sorted(folder.glob("*.tar.gz"))
    if len(tarballs) != 1:
        print(f"{folder} holds {len(tarballs)} tarballs instead of one; run `./run test artifact`, which builds it first")
        return 1
    settings = folder / "importer.cfg"
    settings.write_text(SETTINGS, encoding="utf-8")
    # The importer works, and leaves its results, in the directory it is started from.
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_importer.main", tarballs[0].name],
        cwd=folder,
        env=os.environ | {"GALAXY_IMPORTER_CONFIG": str(settings)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(done.stdout)
    warnings = [line for line in done.stdout.splitlines() if line.startswith(("WARNING", "ERROR"))]
    return 1 if done.returncode or warnings else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
