# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results for people: a table for the terminal, docs/accuracy.md, and the short table of the README. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bench import OK, first_answer, is_right
from .drills import Drill
from .leave_one_out import OUTCOMES
from .records import Run
from .scores import Totals, false_alarms, totals

BEGIN = "<!-- begin accuracy: written by ./run bench accuracy --write -->"
END = "<!-- end accuracy -->"
NOTICE = "<!-- written by ./run bench accuracy --write from tests/bench/accuracy/results.json; do not edit -->"

# Load per core from which the machine itself may be what triage finds.
BUSY_LOAD = 1.5


def percent(value: float | None) -> str:
    """A share as people read it."""
    return "not measured" if value is None else f"{100 * value:.1f} %"


def seconds(value: float | None) -> str:
    """A time as people read it."""
    return "not measured" if value is None else f"{value:.1f} s"


def measures(sums: Totals) -> list[tuple[str, str, str]]:
    """The overall numbers: measure, value, target."""
    right, tried = sums.lost_signal
    rows = [(f"{name} of the pattern", percent(sums.pattern[name]), target) for name, target in (("AC@1", "95 %"), ("AC@3", "-"), ("Avg@5", "97 %"))]
    rows += [(f"{name} of the service", percent(sums.service[name]), target) for name, target in (("AC@1", "95 %"), ("AC@3", "-"), ("Avg@5", "97 %"))]
    rows += [
        ("Expected findings that were there (recall)", percent(sums.recall), "90 %"),
        ("Alarms that were expected (precision)", percent(sums.precision), "-"),
        ("... among those that name a cause", percent(sums.cause_precision), "90 %"),
        ("First action is a safe one", percent(sums.safe), "100 %"),
        ("Healthy states without any alarm or diagnosis", f"{sums.healthy_clean} of {sums.healthy}", "all"),
        ("... alarms there, diagnoses there", f"{sums.healthy_alarms}, {sums.healthy_diagnoses}", "0, 0"),
        ("Time of a triage, median and 95th percentile", f"{seconds(sums.triage_median_s)}, {seconds(sums.triage_p95_s)}", "45 s"),
        ("Right cause still first with one finding less", f"{right} of {tried}", "-"),
    ]
    without = ", ".join(f"{sums.no_pattern[name]} {name}" for name in OUTCOMES if name in sums.no_pattern)
    rows.append(("Answer when the fault's pattern is taken away", without or "not measured", "0 confidently wrong"))
    return rows


def headline(drills: Mapping[str, Drill], runs: Sequence[Run]) -> str:
    """How many drills and runs the numbers stand on."""
    sums = totals(drills, runs)
    text = f"{sums.drills} drills: {sums.incidents} runs with a fault, {sums.healthy} of healthy states"
    return text + (f"; {sums.not_run} could not be injected" if sums.not_run else "")


def terminal(drills: Mapping[str, Drill], runs: Sequence[Run]) -> str:
    """The overall numbers and everything that was not right, as plain text."""
    lines = [headline(drills, runs), ""]
    lines += [f"  {name:<52}{value:<36}{'  target ' + target if target != '-' else ''}".rstrip() for name, value, target in measures(totals(drills, runs))]
    lines += ["", f"  where the time goes (medians): {time_spent(runs)}"]
    problems = wrong(drills, runs)
    lines += ["", *(f"  {text}" for text in problems)] if problems else ["", "  every answer was right"]
    return "\n".join(lines)


def time_spent(runs: Iterable[Run]) -> str:
    """Median time of each step of a run."""
    spent: dict[str, list[float]] = {}
    for run in runs:
        for step, took in run["seconds"].items():
            spent.setdefault(step, []).append(took)
    return ", ".join(f"{step} {sorted(times)[len(times) // 2]:.1f} s" for step, times in spent.items())


def wrong(drills: Mapping[str, Drill], runs: Iterable[Run]) -> list[str]:
    """A sentence about each run that failed or whose answer was not right."""
    sentences = []
    for run in runs:
        drill = drills[run["drill"]]
        where = f"{drill.id}, variant {run['variant'] + 1}"
        if run["status"] != OK:
            sentences.append(f"{where}: {run['status']}: {run['problem']}")
        elif not is_right(drill, run):
            alarms = ", ".join(false_alarms(run))
            details = f"alarms: {alarms}" if drill.healthy else f"expected {expected(drill)}; first action {run['answer']['action']}"
            sentences.append(f"{where}: {first_answer(run)}; {details}{busy(run)}")
    return sentences


def busy(run: Run) -> str:
    """A remark when others kept the machine busy already before the fault: then triage is right to say so."""
    load = run.get("load_per_core", 0.0)
    return f"; before, the machine had a load of {load} per core" if load >= BUSY_LOAD else ""


def expected(drill: Drill) -> str:
    """The right answer in words."""
    if drill.healthy:
        return "nothing wrong"
    causes = " and ".join(" or ".join(sorted(cause)) for cause in drill.causes)
    return f"{causes} on {' and '.join(' or '.join(sorted(place)) for place in drill.services)}"


# -- documents ---------------------------------------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _column in head)} |", *(f"| {' | '.join(map(cell, row))} |" for row in rows)]


def readme_block(drills: Mapping[str, Drill], runs: Sequence[Run]) -> str:
    """What the README says about accuracy, markers included."""
    sums = totals(drills, runs)
    rows = [(name, value) for name, value, target in measures(sums) if target not in ("-",) and not name.startswith("...")]
    return "\n".join([BEGIN, f"{headline(drills, runs)}, on the lab ([all answers](docs/accuracy.md)).", "", *table(("measure", "value"), rows), END])


def with_block(text: str, block: str) -> str:
    """A document with the part between the markers renewed; ValueError when it has no place for it."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"there is no place for the table: it belongs between {BEGIN} and {END}")
    before, _begin, rest = text.partition(BEGIN)
    return before + block + rest.partition(END)[2]


def document(machine: Mapping[str, Any], drills: Mapping[str, Drill], runs: Sequence[Run]) -> str:
    """docs/accuracy.md."""
    lines = [
        NOTICE,
        "",
        "# Accuracy",
        "",
        "Every drill of the role [drill](../roles/drill/README.md) was injected into the real lab, triaged, compared with what its data expects, and taken",
        "back: faults once in each of three variants of other size, place or victim, healthy states several times. Triage knows nothing of drills.",
        "",
        f"{headline(drills, runs)}. Measured {period(runs)} on a machine with {machine['cores']} cores, ansible-core {machine['ansible_core']}.",
        "",
        *table(("measure", "value", "target"), measures(totals(drills, runs))),
        "",
        *MEANING.splitlines(),
        "",
        "## Answers",
        "",
        "The first cause that triage named, with its points out of 100. What is not right is in bold.",
        "",
        *answers(drills, runs),
        "",
        "## What was not right",
        "",
        *listed(wrong(drills, runs), "Nothing."),
        "",
        "Expected findings that were missing or too weak:",
        "",
        *listed(by_drill(runs, "missing"), "None."),
        "",
        "Alarms that name a cause which the drill's data does not expect:",
        "",
        *listed(by_drill(runs, "surplus_causes"), "None."),
        "",
        "Single findings without which another cause comes first:",
        "",
        *listed(hinges(runs), "None."),
        "",
        "Answers that a change would follow from when the fault's pattern is not known:",
        "",
        *listed(overconfident(runs), "None."),
        "",
        *REPEAT.splitlines(),
    ]
    return "\n".join(lines).rstrip() + "\n"


MEANING = """\
* **AC@k**: the share of the true causes among the first k answers, |{R1 ... Rk} ∩ V| / min(k, |V|), averaged over all runs; **Avg@5**: the mean of AC@1 to
  AC@5, as in RCAEval. A combined incident has several true causes. A triage that fails counts as wrong. For the service, R is the ranking of distinct
  services, each at the place of its first cause.
* **Recall**: of all findings that the drills' data expects, those that were reported at least as severe. **Precision**: of all checks with a critical or
  warning finding, those that the data of the drill names. The data names what has to be there, not every symptom that may be there too, so the
  second number, over findings of the role *cause* only, says more about false suspicion.
* **First action**: the first proposal is one that the drill lists as safe, or only reports.
* **One finding less**: each finding that speaks for the right pattern is taken away alone and the rest ranked again. **Pattern taken away**: the patterns
  of the fault are unknown; *unsure* means unclassified or at most possible; *confidently wrong* means that a likely wrong cause proposes a change."""

REPEAT = """\
## How to repeat it

    ./run lab up
    ./run bench accuracy                          all drills; --only P03,P05 some of them; --variants 1 is quicker
    ./run bench accuracy --resume                 go on after an interruption
    ./run bench accuracy --labs 2                 two labs at once, on a machine with four cores
    ./run bench accuracy --rescore                today's checks and patterns over the recorded evidence, without a lab
    ./run bench accuracy --resume --write         write this page, the table of the README and tests/bench/accuracy/results.json"""


def period(runs: Iterable[Run]) -> str:
    """The days of the first and the last run."""
    days = sorted({str(run["at"])[:10] for run in runs})
    return "never" if not days else f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"


def answers(drills: Mapping[str, Drill], runs: Sequence[Run]) -> list[str]:
    """One row a drill, one column a variant."""
    width = max((run["variant"] for run in runs), default=0) + 1
    rows = []
    for name in sorted({run["drill"] for run in runs}):
        drill = drills[name]
        columns = [answer_cell(drill, [run for run in runs if run["drill"] == name and run["variant"] == variant]) for variant in range(width)]
        rows.append((name, drill.title, expected(drill), *columns))
    return table(("drill", "what is done", "expected", *(f"variant {number + 1}" for number in range(width))), rows)


def answer_cell(drill: Drill, runs: Sequence[Run]) -> str:
    """The answers of one variant; several runs that agree are one answer with their number."""
    counted = Counter(short_answer(drill, run) for run in runs)
    return "; ".join(text if len(runs) == 1 else f"{text} ({times(number)})" for text, number in counted.items()) or "-"


def times(number: int) -> str:
    """How often something was seen."""
    return "once" if number == 1 else f"{number} times"


def short_answer(drill: Drill, run: Run) -> str:
    """First answer of a run, in bold when it is not right."""
    if run["status"] != OK:
        return f"**{run['status']}**"
    text = first_answer(run).replace("(likely, ", "(") if run["answer"]["ranking"] else first_answer(run)
    return text if is_right(drill, run) else f"**{text}**"


def listed(entries: Sequence[str], none: str) -> list[str]:
    """A Markdown list, or the word for an empty one."""
    return [f"* {' '.join(entry.split()).replace('<', '&lt;')}" for entry in entries] or [none]


def by_drill(runs: Iterable[Run], what: str) -> list[str]:
    """Checks of one sort with the number of runs, one line a drill."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        if run["status"] == OK:
            found.setdefault(run["drill"], Counter()).update(list(run["answer"][what]))
    return [f"{name}: {', '.join(f'`{check}` ({number})' for check, number in sorted(checks.items()))}" for name, checks in found.items() if checks]


def hinges(runs: Iterable[Run]) -> list[str]:
    """Findings whose loss changes the first answer, one line a drill."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        for check, first in ((run.get("leave_one_out") or {}).get("findings") or {}).get("fell", {}).items():
            found.setdefault(run["drill"], {})[check] = first or "no diagnosis"
    return [f"{name}: {', '.join(f'`{check}` (then {first})' for check, first in sorted(checks.items()))}" for name, checks in found.items()]


def overconfident(runs: Iterable[Run]) -> list[str]:
    """Wrong likely causes with a change as first action when the right pattern is not known, one line a drill."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for case in (run.get("leave_one_out") or {}).get("patterns", []):
            if case["outcome"] == OUTCOMES[-1]:
                found.setdefault(run["drill"], set()).add(f"without {' or '.join(case['without'])}: {case['first']}")
    return [f"{name}: {'; '.join(sorted(texts))}" for name, texts in found.items()]
