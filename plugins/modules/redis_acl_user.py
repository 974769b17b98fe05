#!/usr/bin/python
# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create, change and remove a user of Redis' access control list."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_acl_user
short_description: Manages a user of the access control list of Redis
version_added: 0.2.0
description:
  - Creates a user with exactly the given rights, or removes it. Everything that was granted to it otherwise is taken away.
  - Speaks the protocol of Redis itself, so neither C(redis-cli) nor a Python library is needed on the machine.
  - Only touches users that it has made. It knows them by a channel pattern (O(marker)), which gives no right by itself,
    because no command for channels is granted.
  - Replicas have lists of their own, run it for each server.
author:
  - sre.incident_response contributors (!UNKNOWN)
attributes:
  check_mode:
    description: Can run in check mode and tells what it would do, without changing anything.
    support: full
  diff_mode:
    description: Shows the rights before and after, without any password.
    support: full
requirements:
  - Redis 6.2 or newer, or a server that is compatible with it
options:
  name:
    description: Name of the user. V(default) is refused, because clients that do not log in are that user.
    type: str
    required: true
  password:
    description: The only password of the user. Required for O(state=present).
    type: str
  rules:
    description:
      - Rights as Redis writes them, such as V(+info), V(+client|list) or V(~cache:*), on top of nothing.
      - Only rules that grant a single command, a subcommand or keys are allowed; no category.
    type: list
    elements: str
    default: []
  state:
    description: Whether the user exists.
    type: str
    choices: [present, absent]
    default: present
  marker:
    description: Name of the channel pattern by which users of this module are known.
    type: str
    default: sre.incident_response
  persist:
    description:
      - V(auto) saves the list when the server has an C(aclfile). Without one the user is gone when the server is restarted;
        RV(persisted) and RV(persisted_reason) say so.
      - V(config) lets the server rewrite its own configuration file when it has no C(aclfile), and fails when the server may not.
      - V(never) keeps the user in memory only.
    type: str
    choices: [auto, config, never]
    default: auto
  login_host:
    description: Where the server listens.
    type: str
    default: 127.0.0.1
  login_port:
    description: Its port.
    type: int
    default: 6379
  login_unix_socket:
    description: Path of its socket, used instead of host and port.
    type: path
  login_user:
    description: User with the right to manage others; empty means V(default).
    type: str
  login_password:
    description: Password of that user. Without one nobody logs in.
    type: str
  timeout_s:
    description: How long the server may take for each answer, in seconds.
    type: float
    default: 5.0
"""

EXAMPLES = r"""
- name: Create a user that may only look
  sre.incident_response.redis_acl_user:
    name: monitor
    password: "{{ vault_redis_monitor_password }}"
    rules: [+ping, +info, +slowlog|get]
    login_password: "{{ vault_redis_admin_password }}"

- name: Remove it
  sre.incident_response.redis_acl_user:
    name: monitor
    state: absent
"""

RETURN = r"""
before:
  description: Rights that the user had, as Redis describes them; V(null) when there was no such user.
  returned: always
  type: dict
  sample: {"on": true, "commands": ["+info", "+ping", "-@all"], "keys": [], "channels": ["&sre.incident_response"]}
after:
  description: Rights that it has now, or would have without check mode.
  returned: always
  type: dict
  sample: {"on": true, "commands": ["+info", "+ping", "-@all"], "keys": [], "channels": ["&sre.incident_response"]}
persisted:
  description: Whether the list survives a restart of the server. V(null) in check mode.
  returned: always
  type: bool
  sample: true
persisted_reason:
  description: Why it does not; empty when it does.
  returned: always
  type: str
  sample: ""
"""

import hashlib
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sre.incident_response.plugins.module_utils.probe.resp import ProtocolError, RespConnection, RespError

# One command or subcommand, or keys that may be read, written or both; nothing that grants a group of commands or takes a right away.
RULE = re.compile(r"^(\+[a-z0-9_.-]+(\|[a-z0-9_.-]+)?|(%(R|W|RW))?~\S+)$", re.IGNORECASE)


class AclError(Exception):
    """The server refused, or what is asked for can't be done; the text is one sentence."""


def arguments() -> dict[str, Any]:
    """The argument spec."""
    return {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "rules": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "marker": {"type": "str", "default": "sre.incident_response"},
        "persist": {"type": "str", "choices": ["auto", "config", "never"], "default": "auto"},
        "login_host": {"type": "str", "default": "127.0.0.1"},
        "login_port": {"type": "int", "default": 6379},
        "login_unix_socket": {"type": "path"},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "timeout_s": {"type": "float", "default": 5.0},
    }


def checked(parameters: dict[str, Any]) -> None:
    """AclError for a name, marker or rule that can't be meant."""
    name = parameters["name"]
    if name == "default":
        raise AclError("the user default is everybody who does not log in to Redis; choose another name")
    for what, text in (("name", name), ("marker", parameters["marker"])):
        if not text or re.search(r"[\s\x00-\x1f]", text):
            raise AclError(f"{what} {text!r} must have at least one character and no space")
    for rule in parameters["rules"]:
        if not RULE.match(rule):
            raise AclError(f"rule {rule!r} of user {name} grants neither one command nor keys; write +command, +command|subcommand or ~pattern")


def described(reply: Any) -> dict[str, Any] | None:
    """``{on commands keys channels passwords selectors}`` of the answer to ACL GETUSER, sorted; None when there is no such user."""
    if not isinstance(reply, list):
        return None
    fields = {str(reply[position]): reply[position + 1] for position in range(0, len(reply) - 1, 2)}
    flags = [str(flag) for flag in fields.get("flags") or []]
    return {
        "on": "on" in flags,
        "nopass": "nopass" in flags,
        "commands": sorted(str(fields.get("commands") or "").split()),
        "keys": patterns(fields.get("keys"), "~", "allkeys" in flags),
        "channels": patterns(fields.get("channels"), "&", "allchannels" in flags),
        "passwords": sorted(str(password) for password in fields.get("passwords") or []),
        "selectors": len(fields.get("selectors") or []),
    }


def patterns(value: Any, sign: str, everything: bool) -> list[str]:
    """Patterns with their sign, sorted: Redis 7 gives them as one text, 6 as a list without signs."""
    if isinstance(value, list):
        return sorted({f"{sign}{pattern}" for pattern in value} | ({f"{sign}*"} if everything else set()))
    return sorted(str(value or "").split())


def wanted(parameters: dict[str, Any]) -> dict[str, Any]:
    """What :func:`described` says of the user when it is as it should be."""
    rules = [rule.lower() if rule.startswith("+") else rule for rule in parameters["rules"]]
    return {
        "on": True,
        "nopass": False,
        "commands": sorted({"-@all", *(rule for rule in rules if rule.startswith("+"))}),
        "keys": sorted({rule.replace("%RW~", "~") for rule in rules if not rule.startswith("+")}),
        "channels": [f"&{parameters['marker']}"],
        "passwords": [hashlib.sha256(parameters["password"].encode()).hexdigest()],
        "selectors": 0,
    }


def shown(user: dict[str, Any] | None) -> dict[str, Any] | None:
    """The rights without anything that was made of a password."""
    return None if user is None else {key: value for key, value in user.items() if key not in ("passwords", "selectors", "nopass")}


class Server:
    """A logged-in connection; every refusal is an AclError."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        address = parameters["login_unix_socket"] or (parameters["login_host"], parameters["login_port"])
        self.named = address if isinstance(address, str) else f"{address[0]} port {address[1]}"
        try:
            self.connection = RespConnection(address, lambda: parameters["timeout_s"])
        except OSError as error:
            raise AclError(f"Redis at {self.named} can't be reached: {error.strerror or error}") from None
        if parameters["login_password"]:
            login = [part for part in (parameters["login_user"], parameters["login_password"]) if part]
            self.ask("the login", "AUTH", *login)

    def ask(self, what: str, *command: str) -> Any:
        """The answer to one command; ``what`` names it, because the command may hold a password."""
        try:
            reply = self.connection.call(command)[0]
        except (OSError, ProtocolError) as error:
            raise AclError(f"Redis at {self.named} did not answer {what}: {error}") from None
        if isinstance(reply, RespError):
            raise AclError(f"Redis at {self.named} refused {what}: {reply}")
        return reply

    def user(self, name: str) -> dict[str, Any] | None:
        """The user as it is."""
        return described(self.ask("ACL GETUSER", "ACL", "GETUSER", name))

    def save(self, how: str) -> str:
        """Make the list survive a restart; returns why it does not, else an empty text."""
        if how == "never":
            return "the user is kept in memory only, as asked for"
        found = self.ask("CONFIG GET aclfile", "CONFIG", "GET", "aclfile")
        if isinstance(found, list) and len(found) > 1 and found[1]:
            self.ask(f"ACL SAVE to {found[1]}", "ACL", "SAVE")
            return ""
        if how == "config":
            self.ask("CONFIG REWRITE", "CONFIG", "REWRITE")
            return ""
        return "Redis has no aclfile, so the list of users is lost when it restarts; set aclfile in its configuration, or run this again after a restart"


def apply(server: Server, parameters: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the user into its state; ``{changed before after persisted persisted_reason}``."""
    name, marker = parameters["name"], f"&{parameters['marker']}"
    before = server.user(name)
    if before is not None and marker not in before["channels"]:
        raise AclError(f"user {name} exists and was not made by this module (it lacks the channel {marker}); choose another name, or remove it first")
    if parameters["state"] == "absent":
        after = None
        if before is not None and not check_mode:
            server.ask("ACL DELUSER", "ACL", "DELUSER", name)
    else:
        after = wanted(parameters)
        if before != after and not check_mode:
            rules = [f">{parameters['password']}", "resetchannels", marker, "-@all", *parameters["rules"]]
            server.ask(f"ACL SETUSER {name}", "ACL", "SETUSER", name, "reset", "on", *rules)
            # Servers differ in how they describe the same rights: what counts is whether the description changed.
            after = server.user(name)
    # Also when nothing changed: an earlier run may have failed to save.
    reason = "" if check_mode else server.save(parameters["persist"])
    return {
        "changed": before != after,
        "before": shown(before),
        "after": shown(after),
        "persisted": None if check_mode else not reason,
        "persisted_reason": reason,
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=arguments(), required_if=[("state", "present", ["password"])], supports_check_mode=True)
    try:
        checked(module.params)
        result = apply(Server(module.params), module.params, module.check_mode)
    except AclError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        result["diff"] = {"before": result["before"] or {}, "after": result["after"] or {}}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
