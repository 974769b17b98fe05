"""Stands in for the get-pip.py that ansible-test would download: Python's own ensurepip brings pip, so only the package index is needed."""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

# What get-pip.py understands and pip does not.
GET_PIP_ONLY = ("--no-setuptools", "--no-wheel")

# ensurepip takes pip's settings out of this process, and with them the package index to ask.
settings = dict(os.environ)
ensurepip.bootstrap()
arguments = [argument for argument in sys.argv[1:] if argument not in GET_PIP_ONLY]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *arguments], env=settings))
