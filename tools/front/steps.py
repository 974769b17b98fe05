"""Running a list of commands as steps: progress while they run, the end of the output when one fails, and the sum at the end."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
import subprocess
import time
import typing as t
import xml.etree.ElementTree

from .console import line
from .project import CACHE, ROOT, environment

LOGS = CACHE / "logs"
HEARTBEAT_S = 30
TAIL_LINES = 60
# Far beyond the longest step: what takes longer hangs.
LIMIT_S = 2400
# Output goes to a log file first: no colours, no links.
PLAIN = {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "TERM": "dumb"}


@dataclasses.dataclass(frozen=True)
class Step:
    """One command. `junit` names the file in which it counts its own tests; without one the command itself is the test."""

    name: str
    command: tuple[str, ...]
    junit: pathlib.Path | None = None
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    cwd: pathlib.Path = ROOT


@dataclasses.dataclass
class Tally:
    """What passed and what did not, over all steps."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take over the numbers of one step."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def __str__(self) -> str:
        """The closing line, as test runners print it."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run(step: Step) -> Tally:
    """Run one step and say how it ended."""
    LOGS.mkdir(parents=True, exist_ok=True)
    if step.junit is not None:
        step.junit.parent.mkdir(parents=True, exist_ok=True)
        step.junit.unlink(missing_ok=True)
    log = LOGS / f"{step.name.replace(' ', '-')}.log"
    started = time.monotonic()
    code = _execute(step, log)
    tally = _count(step, code)
    took = time.monotonic() - started
    failed = code != 0 or tally.failed > 0
    inside = f"  ({tally})" if step.junit is not None else ""
    said = [f"{'FAILED' if failed else 'ok    '} {step.name:<36} {took:7.1f} s{inside}"]
    if failed:
        tally.failures.append(step.name)
        said += _end(log, code)
    # In one piece: another step may end at the same moment.
    line("\n".join(said))
    return tally


def _execute(step: Step, log: pathlib.Path) -> int:
    """Run the command with its output in a log file, and give a sign of life now and then."""
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                step.command, cwd=step.cwd, env=environment() | PLAIN | dict(step.env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            output.write(f"{step.command[0]}: {error}\n".encode())
            return 127
        started = time.monotonic()
        try:
            while (spent := time.monotonic() - started) < LIMIT_S:
                try:
                    return process.wait(timeout=HEARTBEAT_S)
                except subprocess.TimeoutExpired:
                    line(f"       {step.name}: {spent + HEARTBEAT_S:.0f} s so far: {_last_line(log)}")
            output.write(f"\nended after {LIMIT_S} s, because it hangs\n".encode())
            return 124
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _last_line(log: pathlib.Path) -> str:
    lines = [text for text in _text(log).splitlines() if text.strip()]
    return lines[-1].strip()[:120] if lines else "no output yet"


def _text(log: pathlib.Path) -> str:
    """A log's text without characters that could steer the terminal."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def _end(log: pathlib.Path, code: int) -> list[str]:
    """The last lines of a log, and where the others are."""
    return [*(f"    {text}" for text in _text(log).splitlines()[-TAIL_LINES:]), f"==> exit code {code}; all of its output: {log.relative_to(ROOT)}"]


def _count(step: Step, code: int) -> Tally:
    """How many tests a step stands for."""
    if step.junit is None:
        return Tally(passed=int(code == 0), failed=int(code != 0))
    try:
        suites = xml.etree.ElementTree.parse(step.junit).getroot().iter("testsuite")
        numbers = [{key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")} for suite in suites]
    except (OSError, xml.etree.ElementTree.ParseError, ValueError):
        # It ended before it could count.
        return Tally(failed=1)
    failed = sum(suite["failures"] + suite["errors"] for suite in numbers)
    skipped = sum(suite["skipped"] for suite in numbers)
    passed = sum(suite["tests"] for suite in numbers) - failed - skipped
    return Tally(passed=passed, failed=max(failed, int(code != 0)), skipped=skipped)


def run_all(steps: t.Iterable[Step], tally: Tally, at_once: int = 1) -> None:
    """Run steps, some at once; one that fails does not keep the others from being run."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=at_once) as pool:
        for outcome in pool.map(run, steps):
            tally.add(outcome)
