"""The tests and lints of the collection, as steps. Every step is a command that a person can type after `. .venv/bin/activate`."""

from __future__ import annotations

import pathlib
import shutil

from . import debian
from .console import StopError, say
from .project import CACHE, ROOT
from .steps import Step

RESULTS = CACHE / "results"
BUILD = CACHE / "build"
MOLECULE = ("molecule", "-c", str(ROOT / ".config" / "molecule" / "config.yml"))


def lint() -> list[Step]:
    """Everything that reads the files without running them."""
    steps = [
        Step("lint ansible-lint", ("ansible-lint",)),
        Step("lint yamllint", ("yamllint", "--strict", ".")),
        Step("lint ruff", ("ruff", "check", ".")),
        Step("lint ruff-format", ("ruff", "format", "--check", ".")),
        Step("lint mypy", ("mypy", "-p", "ansible_collections.sre.incident_response.plugins.plugin_utils", "-p", "tools")),
        Step("lint docs", ("antsibull-docs", "lint-collection-docs", "--plugin-docs", ".")),
        Step("lint changelog", ("antsibull-changelog", "lint")),
    ]
    scripts = shell_scripts()
    if shutil.which("shellcheck") and scripts:
        steps.append(Step("lint shellcheck", ("shellcheck", "--severity=warning", *scripts)))
    return steps


def shell_scripts() -> list[str]:
    """The shell scripts of the project; some are named without an extension."""
    folders = ("tools", "roles", "tests", "molecule")
    found = [ROOT / "run", ROOT / ".ci" / "run", *(path for folder in folders for path in (ROOT / folder).rglob("*.sh"))]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def pytest(name: str, *arguments: str) -> Step:
    """A pytest run that counts its own tests."""
    junit = RESULTS / f"{name}.xml"
    return Step(name, ("pytest", "--quiet", f"--junitxml={junit}", *arguments), junit=junit)


def unit() -> list[Step]:
    """Tests of the Python code, without a lab."""
    return [pytest("unit", "tests/unit")]


def contract() -> list[Step]:
    """Rules about the repository itself."""
    return [pytest("contract", "tests/contract")]


def sanity() -> list[Step]:
    """ansible-test's own rules about collections."""
    return [Step("sanity", ("python", "tools/run_ansible_test.py", "sanity", "--color", "no"))]


def units() -> list[Step]:
    """The unit tests once more, as ansible-test runs them: in a virtual environment with nothing but their requirements."""
    return [Step("units", ("python", "tools/run_ansible_test.py", "units", "--venv", "--requirements", "--color", "no"))]


def artifact() -> list[Step]:
    """The tarball that Galaxy would get, and Galaxy's own import of it."""
    shutil.rmtree(BUILD, ignore_errors=True)
    return [
        Step("artifact build", ("ansible-galaxy", "collection", "build", "--output-path", str(BUILD))),
        Step("artifact import", ("python", "tools/import_artifact.py", str(BUILD))),
    ]


def integration() -> list[Step]:
    """The playbooks as a user runs them, on the running lab."""
    return [pytest("integration", "tests/integration")]


def drills() -> list[Step]:
    """Every drill without a molecule scenario, once; a step for each, so that one that hangs does not take the others with it."""
    with_scenario = {name.lower() for name in scenarios()}
    names = sorted(path.stem for path in (ROOT / "roles" / "drill" / "vars" / "faults").glob("*.yml"))
    return [pytest(f"drill {name}", "tests/drills", "-k", name) for name in names if name.lower() not in with_scenario]


def ensure_test_programs(yes: bool) -> None:
    """Have what single integration tests start; without one they are skipped, or fail in CI, and this says so."""
    ensure_program("Prometheus", ("prometheus",), "prometheus", yes)
    ensure_program("Chromium", ("chromium", "chromium-browser", "google-chrome"), "chromium", yes)


def ensure_program(name: str, commands: tuple[str, ...], package: str, yes: bool) -> None:
    """Have one of the commands, from the package where that may be installed."""
    if any(shutil.which(command) for command in commands):
        return
    why = f"{name} is not installed; the tests that start one need it."
    try:
        installed = yes and debian.offer([package], why, yes)
    except StopError as stop:
        say(str(stop))
        installed = False
    if not installed:
        say(f"{why} They are skipped, or fail where CI=true; on Debian or Ubuntu get it with: sudo apt-get install {package}")


def scenarios() -> list[str]:
    """The molecule scenarios, one per fault; `default` only owns the lab."""
    found = (path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    return sorted(name for name in found if name != "default")


def molecule(scenario: str) -> Step:
    """Break, triage, verify and repair the lab in one scenario; the lab stays for the next one."""
    return Step(f"molecule {scenario}", (*MOLECULE, "test", "--scenario-name", scenario, "--destroy", "never"))


def molecule_cleanup(scenario: str) -> Step:
    """Take a fault back: molecule itself does not after a failure when the lab is to stay."""
    return Step(f"molecule {scenario} cleanup", (*MOLECULE, "cleanup", "--scenario-name", scenario))


def molecule_forget() -> Step:
    """Make molecule forget that the lab is up."""
    return Step("molecule destroy", (*MOLECULE, "destroy"))


def lab(state: str) -> Step:
    """Bring the lab up (`present`) or remove it (`absent`)."""
    inventory = str(pathlib.Path("inventories", "lab"))
    return Step(f"lab {'up' if state == 'present' else 'down'}", ("ansible-playbook", "playbooks/lab.yml", "-i", inventory, "-e", f"lab_state={state}"))
