# shellcheck shell=sh
# Write lines into the container's log that are poison to whoever runs, evaluates or renders them. All are errors, so that reports show them.
exec >/proc/1/fd/1
cat <<'LINES'
{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","logger":"shop","event":"<script>alert(1)</script><img src=x onerror=alert(2)>"}
{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","logger":"shop","event":"{{ lookup('ansible.builtin.pipe', 'touch /tmp/pwn') }} {% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}"}
{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","logger":"shop","event":"$(touch /tmp/pwn) `touch /tmp/pwn` ; touch /tmp/pwn | touch /tmp/pwn"}
{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","logger":"shop","event":"../../etc/passwd %s %n %(x)s ${jndi:ldap://127.0.0.1/a} '; DROP TABLE orders; --"}
{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","logger":"shop","event":"\u001b[2J\u001b[31mroot@host\u0007 \u202egnp.exe\u0000"}
ERROR not JSON at all: {"level": "ERROR", "event": <b>unclosed
LINES
printf 'ERROR \033[2J\033]0;owned\007 raw escapes \000 and \377\376 no text\r\n'
