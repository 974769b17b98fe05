"""`./run`: what a person or CI can ask for, as a thin front of the tools that do the work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing as t

from . import checks, debian, engine, lab, python_env
from .console import StopError, line, say, unattended
from .project import PYTHON, ROOT, environment
from .steps import Step, Tally, run, run_all

HELP = """\
./run demo [--yes]        set up, start the lab, break it (a blocked row lock), and triage it for real
./run test [--quick]      all tests; --quick: lint, unit and contract tests only (no Docker, under 3 minutes)
./run test STEP...        some of: {steps}
./run test drills         every drill that has no molecule scenario, once: about half a minute each, so it is no part of all tests
./run bench accuracy      how often triage is right: all drills in three variants, over an hour (--help: some of them, several labs, go on, write the table)
./run bench speed         how long triage takes beside the commands of the document that it replaces
./run lint                the linters alone
./run lab up|down|status  the lab: containers with a small shop that can be broken and triaged
./run setup               only the virtual environment (.venv); then `. .venv/bin/activate` for your own commands
./run help                this text

--yes   install what is missing (Docker engine, Python's venv) without asking; CI=true means the same.
"""

DEMO_FAULT = "P03_row_lock_idle_blocker"
DEMO_NEXT = """\
What you can do next:
  . .venv/bin/activate
  ansible-playbook playbooks/triage.yml -i inventories/lab                              triage again
  ansible-playbook playbooks/drill.yml -i inventories/lab -e drill_fault={fault} -e drill_state=absent   repair it
  ./run lab status        where the shop listens
  ./run lab down          remove the lab
"""

QUICK: dict[str, t.Callable[[], list[Step]]] = {"lint": checks.lint, "unit": checks.unit, "contract": checks.contract}
SLOW: dict[str, t.Callable[[], list[Step]]] = {"sanity": checks.sanity, "units": checks.units, "artifact": checks.artifact}
ON_LAB = ("integration", "molecule")
# Run only when they are named.
ON_REQUEST = ("drills",)
BENCHES: dict[str, tuple[str, ...]] = {
    "accuracy": ("-m", "ansible_collections.sre.incident_response.tests.bench.accuracy"),
    "speed": ("tests/bench/test_triage_speed.py",),
}
# Options of the accuracy bench that need no lab.
WITHOUT_LAB = ("--help", "-h", "--rescore")


def main(arguments: list[str]) -> int:
    """Run one subcommand; the exit code is 0 when everything that was asked for succeeded."""
    yes = unattended(arguments)
    words = [argument for argument in arguments if argument != "--yes"]
    commands: dict[str, t.Callable[[list[str], bool], int]] = {
        "demo": demo,
        "test": test,
        "bench": bench,
        "lint": lint,
        "lab": lab_command,
        "setup": setup,
        "help": show_help,
    }
    name = words[0] if words else "help"
    if name in ("-h", "--help"):
        name = "help"
    if name not in commands:
        raise StopError(f"'{name}' is none of the commands {', '.join(commands)}; `./run help` explains them")
    return commands[name](words[1:], yes)


def show_help(words: list[str], yes: bool) -> int:
    """Print the commands."""
    del words, yes
    line(HELP.format(steps=" ".join([*QUICK, *SLOW, *ON_LAB, *ON_REQUEST])).rstrip())
    return 0


def setup(words: list[str], yes: bool) -> int:
    """Make the virtual environment."""
    accept(words, ())
    python_env.ensure("dev", yes)
    return 0


def demo(words: list[str], yes: bool) -> int:
    """From nothing to the triage of a real fault."""
    accept(words, ())
    python_env.ensure("lab", yes)
    engine.ensure(yes)
    engine.ensure_bootstrap(yes)
    say("Starting the lab; the first time builds its images, which takes a few minutes")
    must(checks.lab("present"))
    say(f"Breaking it: drill {DEMO_FAULT}")
    inventory = ("-i", "inventories/lab")
    must(Step("drill", ("ansible-playbook", "playbooks/drill.yml", *inventory, "-e", f"drill_fault={DEMO_FAULT}")))
    line()
    line(DEMO_NEXT.format(fault=DEMO_FAULT))
    say("Triage: ansible-playbook playbooks/triage.yml -i inventories/lab")
    return subprocess.run(["ansible-playbook", "playbooks/triage.yml", *inventory], cwd=ROOT, env=environment(), check=False).returncode


def lab_command(words: list[str], yes: bool) -> int:
    """Start, remove or show the lab."""
    accept(words, ("up", "down", "status"), at_most=1)
    action = words[0] if words else "status"
    python_env.ensure("lab", yes)
    engine.ensure(yes)
    if action == "up":
        engine.ensure_bootstrap(yes)
    if action != "status":
        must(checks.lab("present" if action == "up" else "absent"))
    if action != "down":
        lab.show()
    return 0


def lint(words: list[str], yes: bool) -> int:
    """The linters alone."""
    accept(words, ())
    return test(["lint"], yes)


def test(words: list[str], yes: bool) -> int:
    """Run tests; end with one line that counts them."""
    accept(words, ("--quick", *QUICK, *SLOW, *ON_LAB, *ON_REQUEST))
    started = time.monotonic()
    names = [*QUICK] if "--quick" in words else words or [*QUICK, *SLOW, *ON_LAB]
    python_env.ensure("dev", yes)
    debian.require("git", ["git"], yes)
    tally = Tally()
    # These only read the checkout, so two at once do not disturb each other.
    run_all([step for name, steps in QUICK.items() if name in names for step in steps()], tally, at_once=2)
    for name, steps in SLOW.items():
        if name in names:
            run_all(steps(), tally)
    if {*ON_LAB, *ON_REQUEST} & set(names):
        test_on_lab(names, yes, tally)
    line()
    say(f"{time.monotonic() - started:.0f} s" + (f"; failed: {', '.join(tally.failures)}" if tally.failures else ""))
    line(str(tally))
    return 1 if tally.failed or tally.failures else 0


def bench(words: list[str], yes: bool) -> int:
    """Measure on the lab, which is started and stays; what follows the name of the bench is for the bench."""
    accept(words[:1], tuple(BENCHES))
    name, options = (words[0], words[1:]) if words else ("accuracy", [])
    if name == "speed":
        accept(options, ())
    python_env.ensure("dev", yes)
    if not set(options) & set(WITHOUT_LAB):
        engine.ensure(yes)
        engine.ensure_bootstrap(yes)
        must(checks.lab("present"))
    sys.stdout.flush()
    # Takes this process's place: Ctrl-C has to reach the bench alone, which then takes its fault back.
    os.chdir(ROOT)
    os.execve(PYTHON, [str(PYTHON), *BENCHES[name], *options], environment())  # noqa: S606 - as fixed as the other steps


def test_on_lab(names: t.Sequence[str], yes: bool, tally: Tally) -> None:
    """The tests that need the lab: bring it up, run them one after another, remove it."""
    try:
        engine.ensure(yes)
        engine.ensure_bootstrap(yes)
    except StopError as stop:
        say(str(stop))
        tally.add(Tally(failed=1, failures=["Docker engine"]))
        return
    try:
        up = run(checks.lab("present"))
        tally.add(up)
        if up.failed:
            return
        if "integration" in names:
            checks.ensure_test_programs(yes)
            run_all(checks.integration(), tally)
        if "drills" in names:
            run_all(checks.drills(), tally)
        if "molecule" in names:
            for scenario in checks.scenarios():
                outcome = run(checks.molecule(scenario))
                tally.add(outcome)
                if outcome.failed:
                    run(checks.molecule_cleanup(scenario))
    finally:
        if "molecule" in names:
            tally.add(run(checks.molecule_forget()))
        tally.add(run(checks.lab("absent")))


def must(step: Step) -> None:
    """Run a step that the following ones need."""
    if run(step).failed:
        raise StopError(f"{step.name} failed (its output is above), so there is nothing to go on with")


def accept(words: t.Sequence[str], known: t.Sequence[str], at_most: int | None = None) -> None:
    """Refuse words that mean nothing here."""
    for word in words:
        if word not in known:
            allowed = f"it takes {', '.join(known)}" if known else "it takes nothing more"
            raise StopError(f"'{word}' is not understood here: {allowed}; `./run help` explains the commands")
    if at_most is not None and len(words) > at_most:
        raise StopError(f"'{' '.join(words)}' is too much at once: use one of {', '.join(known)}; `./run help` explains the commands")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StopError as stop:
        print(f"run: {stop}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
