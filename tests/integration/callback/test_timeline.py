"""What the timeline callback writes and prints, on real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

TRIAGE = """
- hosts: all
  tasks:
    - name: Collect
      sre.incident_response.collect:
        returns: {incident_evidence: {host: somebody else, reachable: true, duration_s: 0.4}}
- hosts: localhost
  tasks:
    - name: Assess
      sre.incident_response.assess:
        returns:
          incident_assessment:
            role: pg_lock_scan
            findings:
              - {id: pg.locks.root, state: finding, severity: critical, service: db, kind: postgresql, host: h1, role: cause, check_role: pg_lock_scan,
                 summary: "pid 4242 blocks 6 sessions", since: "2026-11-23T14:02:11Z", evidence: [{source: postgresql, text: "UPDATE x </script>"}]}
              - {id: pg.up, state: ok, service: db, kind: postgresql, host: h1, check_role: pg_connection_check, summary: answers}
    - name: Diagnose
      sre.incident_response.diagnose:
        returns:
          incident_diagnosis:
            severity: SEV2
            severity_reason: one core route is slow
            services: [{name: db, kind: postgresql, host: h1, state: critical}]
            diagnosis:
              - {pattern: db_lock_contention, title: Sessions wait for a lock, family: slow, service: db, host: h1, score: 92, verdict: likely,
                 why: [{id: pg.locks.root, service: db, host: h1, text: x, points: 25}], first_action: {}, verify: [], escalate: DBA}
            proposals:
              - {id: P1, mitigation: terminate_pg_blocker, target: {pid: 4242}, effect: ends session 4242, undo: none, command: "psql -c 'x'", host: h1}
"""
NOTE = """
- hosts: h1
  tasks:
    - sre.incident_response.event: {summary: hello}
"""


def test_a_triage_is_recorded_and_reported(harness):
    run = harness.run(TRIAGE)
    assert run.code == 0, run.stderr
    assert run.kinds == ["run.started", "evidence", "evidence", "assessment", "diagnosis", "run.finished"]
    assert {data["host"] for data in run.data("evidence")} == {"h1", "h2"}, "a result speaks for its own host only"
    assert run.data("run.started")[0]["context"]["playbook"] == "triage.yml"
    assert run.data("run.started")[0]["context"]["versions"]["ansible_core"].startswith("2.")
    assert run.last_line == str(run.folder / "report.html")
    assert "INCIDENT  db_lock_contention on db (likely, 92)  suggested SEV2\n" in run.stdout
    assert "pid 4242 blocks 6 sessions" in run.stdout
    assert "\npsql -c 'x'\n" in run.stdout
    assert sorted(path.name for path in run.folder.glob("*.*")) == ["report.html", "report.json", "report.md", "timeline.jsonl", "workspace.json"]
    assert run.report["diagnosis"][0]["pattern"] == "db_lock_contention"
    assert os.path.realpath(harness.state / "latest") == str(run.folder)
    assert "</script>" not in (run.folder / "report.html").read_text().partition("UPDATE x")[2].partition("</pre>")[0]


def test_the_journal_is_private_and_chained(harness):
    run = harness.run(TRIAGE)
    segment = next((run.folder / "segments").glob("*.jsonl"))
    assert stat.S_IMODE(segment.stat().st_mode) == 0o640 & ~_umask()
    assert [event["sequence"] for event in run.events] == [f"{number:08d}" for number in range(1, len(run.events) + 1)]
    assert run.report["run"]["journal_problems"] == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_nothing_is_kept_of_a_run_without_recording_actions(harness):
    run = harness.run("- hosts: all\n  tasks:\n    - ansible.builtin.command: 'true'\n")
    assert run.code == 0, run.stderr
    assert run.folder is None
    assert not harness.state.exists()
    assert "NO VERDICT" not in run.stdout


def test_a_playbook_by_its_full_name_records(harness):
    harness.write(NOTE)
    run = harness.finish(harness.start("sre.incident_response.triage"))
    assert run.kinds == ["run.started", "note", "run.finished"]


def test_an_importing_playbook_records(harness):
    harness.write(NOTE)
    outer = harness.folder / "outer.yml"
    outer.write_text("- ansible.builtin.import_playbook: sre.incident_response.triage\n")
    run = harness.finish(harness.start(outer))
    assert run.kinds == ["run.started", "note", "run.finished"]


def test_a_foreign_playbook_records_only_when_enabled(harness):
    foreign = harness.folder / "foreign.yml"
    foreign.write_text(NOTE)
    assert harness.finish(harness.start(foreign)).folder is None
    run = harness.finish(harness.start(foreign, ANSIBLE_CALLBACKS_ENABLED="sre.incident_response.timeline"))
    assert run.kinds == ["run.started", "note", "run.finished"]


def test_loaded_twice_it_records_once(harness):
    run = harness.run(NOTE, ANSIBLE_CALLBACKS_ENABLED="sre.incident_response.timeline")
    assert run.kinds == ["run.started", "note", "run.finished"]
    assert run.stdout.count("report.html") == 1


def test_changes_and_failures_of_any_task_are_recorded(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.event: {summary: first}
            - name: Restart it
              ansible.builtin.command: "true"
            - name: Look only
              ansible.builtin.command: "true"
              changed_when: false
            - name: Fail softly
              ansible.builtin.command: "false"
              ignore_errors: true
            - name: Loop
              ansible.builtin.command: "{{ item }}"
              loop: ["true", "false"]
              ignore_errors: true
            - name: Fail hard
              ansible.builtin.fail: {msg: enough}
    """)
    assert run.code == 2
    assert [data["task"] for data in run.data("action")] == ["Restart it", "Loop"]
    steps = run.data("step")
    assert [(step["task"], step["status"], step["ignored"]) for step in steps] == [
        ("Fail softly", "failed", True),
        ("Loop", "failed", True),
        ("Fail hard", "failed", False),
    ]
    assert steps[2]["msg"] == "enough"
    assert run.kinds[-1] == "run.finished"


def test_check_mode_records_no_action(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.event: {summary: first}
            - ansible.builtin.copy: {content: x, dest: "{{ playbook_dir }}/never"}
    """, "--check")  # fmt: skip
    assert run.data("action") == []
    assert run.data("run.started")[0]["context"]["check_mode"] is True


def test_unreachable_machines_are_recorded(harness):
    run = harness.run("""
        - hosts: h1
          vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_args: "-o ConnectTimeout=1"}
          tasks:
            - sre.incident_response.event: {summary: first}
            - name: Reach it
              ansible.builtin.raw: "true"
    """)
    assert [(step["task"], step["status"]) for step in run.data("step")] == [("Reach it", "unreachable")]
    assert run.report["verdict"]["code"] != "healthy"
    assert run.report["run"]["machines"][0]["reachable"] is False


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_strategies_give_the_same_events(harness, strategy):
    run = harness.run(TRIAGE.replace("- hosts:", f"- strategy: {strategy}\n  hosts:"))
    assert sorted(run.kinds) == sorted(["run.started", "evidence", "evidence", "assessment", "diagnosis", "run.finished"])


def test_loops_of_events_are_recorded_once_each(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.event: {summary: "number {{ item }}"}
              loop: [1, 2]
    """)
    assert [data["summary"] for data in run.data("note")] == ["number 1", "number 2"]


def test_results_of_other_actions_are_not_believed(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.event: {summary: first}
            - ansible.builtin.set_fact: {incident_event: {summary: forged}, incident_diagnosis: {severity: SEV1}}
            - ansible.builtin.debug: {msg: {incident_diagnosis: {severity: SEV1}}}
            - sre.incident_response.collect:
                returns: {incident_diagnosis: {severity: SEV1}, incident_event: {summary: forged}, incident_evidence: {host: h1}}
    """)
    assert run.kinds == ["run.started", "note", "evidence", "run.finished"]


def test_no_log_is_honoured(harness):
    run = harness.run("""
        - hosts: h1
          vars: {word: sesame-open}
          tasks:
            - sre.incident_response.event: {summary: first}
            - name: "Event about {{ word }}"
              sre.incident_response.event: {summary: "{{ word }}"}
              no_log: true
            - name: "Change {{ word }}"
              ansible.builtin.command: "echo {{ word }}"
              no_log: true
            - name: "Fail {{ word }}"
              ansible.builtin.fail: {msg: "{{ word }}"}
              no_log: true
              ignore_errors: true
            - name: Loop
              sre.incident_response.event: {summary: "{{ item }}"}
              loop: ["{{ word }}"]
              no_log: true
    """)
    assert run.code == 0, run.stderr
    kept = "".join(path.read_text() for path in run.folder.rglob("*") if path.is_file())
    assert "sesame-open" not in kept
    assert run.data("action")[0]["task"] == "ansible.builtin.command"
    assert run.data("step")[0]["censored"] is True


def test_secrets_are_taken_out_and_counted(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.event:
                summary: "dsn postgres://app:hunter2@db/app and code name Bluebird"
                data: {login_password: hunter2, log: '{"token": "hunter2"}'}
    """, "-e", '{"incident_redact": ["Bluebird"]}')  # fmt: skip
    kept = "".join(path.read_text() for path in run.folder.rglob("*") if path.is_file())
    assert "hunter2" not in kept
    assert "Bluebird" not in kept
    assert json.loads(run.data("note")[0]["data"]["log"]) == {"token": "[redacted]"}
    assert run.data("run.finished")[0]["redacted"] == {"password in a URL": 1, "incident_redact": 1, "secret value": 2}


def test_control_characters_reach_neither_terminal_nor_report(harness):
    run = harness.run("""
        - hosts: h1
          tasks:
            - sre.incident_response.assess:
                returns: {incident_assessment: {role: r, findings: [{id: a.b, state: finding, severity: critical, service: s, kind: redis, host: h1,
                  summary: "red \\x1b[31m \\u202e \\x07 text"}]}}
    """)
    board = run.stdout.partition("CRITICAL FINDINGS")[2]
    assert "red text" in board
    assert not any(character in board for character in "\x1b\u202e\x07")


@pytest.mark.parametrize("source", ["extra", "inventory", "play", "environment", "ini"])
def test_the_state_directory_can_be_set_everywhere(harness, source):
    wanted = harness.folder / "elsewhere"
    arguments, environment = [], {}
    playbook = NOTE
    if source == "extra":
        arguments = ["-e", f"incident_state_dir={wanted}"]
    elif source == "inventory":
        (harness.folder / "inventory").write_text(f"h1 ansible_connection=local incident_state_dir='{{{{ base }}}}/elsewhere' base={harness.folder}\n")
    elif source == "play":
        playbook = NOTE.replace("  tasks:", f"  vars: {{incident_state_dir: {wanted}}}\n  tasks:")
    elif source == "environment":
        environment = {"INCIDENT_STATE_DIR": str(wanted)}
    else:
        (harness.folder / "ansible.cfg").write_text(f"[callback_sre_incident]\nstate_dir = {wanted}\n")
    run = harness.run(playbook, *arguments, **environment)
    assert run.last_line.startswith(f"{wanted}/runs/"), run.stdout + run.stderr
    assert not harness.state.exists()


def test_an_unwritable_state_directory_is_one_sentence(harness):
    (harness.folder / "file").write_text("")
    run = harness.run(NOTE, "-e", f"incident_state_dir={harness.folder}/file/below", TMPDIR=str(harness.folder))
    assert run.code == 0
    assert "can't be written" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    report = Path(run.last_line)
    assert report.is_file()
    assert "can't be written" in run.stdout


def test_mistakes_in_the_inventory_are_one_line_at_once(harness):
    sentence = "kind reddis of service redis is unknown; it must be one of fastapi, nginx, postgresql, redis, external, and so on and on"
    run = harness.run(f"""
        - hosts: h1
          tasks:
            - sre.incident_response.collect:
                returns: {{incident_evidence: {{reachable: true, problems: [{{service: redis, sentence: "{sentence}"}}]}}}}
    """)
    assert f"[WARNING]: h1: {sentence}\n" in run.stderr
    assert "redis on h1" in run.stdout


def test_a_broken_recorder_does_not_stop_the_run(harness):
    (harness.collection / "plugins/plugin_utils").unlink()
    broken = harness.collection / "plugins/plugin_utils"
    broken.mkdir()
    for source in (Path(__file__).resolve().parents[3] / "plugins/plugin_utils").iterdir():
        if source.name not in ("recorder.py", "__pycache__"):
            (broken / source.name).symlink_to(source)
    text = (Path(__file__).resolve().parents[3] / "plugins/plugin_utils/recorder.py").read_text()
    (broken / "recorder.py").write_text(text.replace('"""Record what a finished task is worth', 'assert False, "broken on purpose"\n        """Record'))
    run = harness.run(TRIAGE)
    assert run.code == 0, run.stderr
    assert run.stderr.count("broken on purpose") == 1
    assert "Traceback" not in run.stderr
    assert run.kinds == ["run.started", "run.finished"]


def _interrupted(harness, number):
    process = harness.start(harness.write(TRIAGE + "\n    - sre.incident_response.collect: {sleep: 60}\n" + "- hosts: h1\n  tasks: []\n"))
    harness.wait_for_event("diagnosis")
    process.send_signal(number)
    return harness.finish(process)


def test_sigterm_is_recorded_and_the_report_can_be_rebuilt(harness):
    run = _interrupted(harness, signal.SIGTERM)
    assert run.code in (-signal.SIGTERM, 143)
    assert run.kinds[-1] == "run.interrupted"
    assert not (run.folder / "report.json").exists()
    rebuilt = harness.finish(harness.start("sre.incident_response.report"))
    assert rebuilt.code == 0, rebuilt.stdout + rebuilt.stderr
    assert "INTERRUPTED by SIGTERM" in rebuilt.stdout
    assert rebuilt.last_line == str(run.folder / "report.html")
    assert "INTERRUPTED by SIGTERM" in (run.folder / "report.html").read_text()
    assert "INTERRUPTED by SIGTERM" in (run.folder / "report.md").read_text()
    assert run.report["run"]["status"] == "interrupted"
    assert run.report["run"]["journal_problems"] == []
    assert len(list((harness.state / "runs").iterdir())) == 1, "rebuilding records nothing itself"


def test_ctrl_c_is_recorded_and_reported_at_once(harness):
    run = _interrupted(harness, signal.SIGINT)
    assert run.kinds[-1] == "run.interrupted"
    assert run.data("run.interrupted")[0]["reason"] == "SIGINT"
    assert "INTERRUPTED by SIGINT" in run.stdout
    assert run.report["run"]["status"] == "interrupted"


INTERRUPT_WHILE_FORKING = """
import os, pathlib, signal

def interrupt():
    if any(".diagnosis.v1" in segment.read_text() for segment in pathlib.Path("incidents").glob("runs/*/segments/*.jsonl")):
        os.kill(os.getpid(), signal.{name})

os.register_at_fork(after_in_parent=interrupt)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_a_worker_is_started_leaves_no_worker_behind(harness, name):
    """ansible-core does not know the worker yet at that moment; it would go on for a minute and hold what the caller reads from."""
    (harness.folder / "sitecustomize.py").write_text(INTERRUPT_WHILE_FORKING.format(name=name))
    process = harness.start(harness.write(TRIAGE + "\n    - sre.incident_response.collect: {sleep: 60}\n"), PYTHONPATH=str(harness.folder))
    run = harness.finish(process)
    assert run.kinds[-1] == "run.interrupted"
    assert run.data("run.interrupted")[0]["reason"] == name


def test_a_killed_run_did_not_finish(harness):
    process = harness.start(harness.write(TRIAGE + "\n    - sre.incident_response.collect: {sleep: 60}\n"))
    harness.wait_for_event("diagnosis")
    os.killpg(process.pid, signal.SIGKILL)
    run = harness.finish(process)
    rebuilt = harness.finish(harness.start("sre.incident_response.report", "-e", f"incident_run={run.folder.name}"))
    assert rebuilt.code == 0, rebuilt.stderr
    assert "DID NOT FINISH" in rebuilt.stdout
    assert run.report["run"]["status"] == "unfinished"


def test_an_error_of_ansible_itself_is_recorded(harness):
    run = harness.run(NOTE + "    - ansible.builtin.include_tasks: missing.yml\n    - ansible.builtin.include_tasks: '{{ playbook_dir }}/broken.yml'\n")
    assert run.code != 0
    assert run.kinds[-1] in ("run.interrupted", "run.finished")
    assert (run.folder / "report.json").exists()


@pytest.mark.parametrize(("wanted", "sentence"), [("nonsense", "Run 'nonsense' is not in"), ("", "No run is recorded in")])
def test_a_wrong_run_is_one_sentence(harness, wanted, sentence):
    if wanted:
        harness.run(NOTE)
    run = harness.finish(harness.start("sre.incident_response.report", "-e", f"incident_run={wanted}"))
    assert run.code == 2
    assert sentence in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_failing_gate_after_the_diagnosis_still_gets_its_report(harness):
    run = harness.run(TRIAGE + "\n    - name: Apply incident_fail_on\n      ansible.builtin.fail: {msg: critical findings}\n")
    assert run.code == 2
    assert run.report["diagnosis"][0]["pattern"] == "db_lock_contention"
    assert run.last_line == str(run.folder / "report.html")


def test_the_actor_of_an_awx_job_is_recorded(harness):
    run = harness.run(NOTE, "-e", "awx_user_name=alice", JOB_ID="42", AWX_HOST="https://awx.example")
    context = run.data("run.started")[0]["context"]
    assert context["actor"] == {"type": "user", "id": "alice"}
    assert context["job"]["url"] == "https://awx.example/#/jobs/playbook/42"


def test_an_event_with_an_impossible_time_is_refused(harness):
    run = harness.run("- hosts: h1\n  tasks:\n    - sre.incident_response.event: {summary: x, time: yesterday}\n")
    assert run.code == 2
    assert "time 'yesterday' of sre.incident_response.event is no time" in run.stdout + run.stderr
