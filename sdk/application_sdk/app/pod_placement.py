"""The keywords of `@task` that say where and as whom its pod runs, each checked.

Loaded only together with `pod_options`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from application_sdk.app.pod_option_checks import InvalidOptionError, fields, flag, items, object_name
from application_sdk.app.pod_volumes import passed_through
from application_sdk.wire import pod_rules
from application_sdk.wire.digest import JSON, JSONObject

if TYPE_CHECKING:
    from application_sdk.app.pod_options import Conversion


def affinity(value: object, keyword: str) -> JSON:
    """The affinity of a pod's manifest. Raises InvalidOptionError."""
    record = fields(value, keyword, set(pod_rules.AFFINITIES), f"one or more of {', '.join(pod_rules.AFFINITIES)}")
    return passed_through(record, keyword)


def topology_spread(value: object, keyword: str) -> JSON:
    """The topology spread constraints of a pod's manifest. Raises InvalidOptionError."""
    constraints = items(value, keyword)
    if len(constraints) > pod_rules.MAX_CONSTRAINTS:
        raise InvalidOptionError(f"{keyword} has {len(constraints)} entries: {pod_rules.MAX_CONSTRAINTS} are the limit")
    for number, constraint in enumerate(constraints):
        if not isinstance(constraint, Mapping) or not isinstance(constraint.get("topologyKey"), str):
            raise InvalidOptionError(f"{keyword}[{number}] has no topologyKey: write a constraint as in a manifest")
    return passed_through(constraints, keyword)


def host_aliases(value: object, keyword: str) -> JSON:
    """Entries of the pod's /etc/hosts. Raises InvalidOptionError."""
    aliases: list[JSON] = []
    for number, alias in enumerate(items(value, keyword)):
        where = f"{keyword}[{number}]"
        record = fields(alias, where, {"ip", "hostnames"}, '{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}')
        place = f"{where}['hostnames']"
        hostnames: list[JSON] = [object_name(name, place) for name in items(record.get("hostnames"), place)]
        aliases.append({"ip": _address(record.get("ip"), where), "hostnames": hostnames})
    return aliases


def dns_config(value: object, keyword: str) -> JSON:
    """The DNS configuration of a pod's manifest. Raises InvalidOptionError."""
    form = '{"nameservers": ["10.0.0.2"], "searches": ["example.com"], "options": [{"name": "ndots", "value": "2"}]}'
    record = fields(value, keyword, {"nameservers", "searches", "options"}, form)
    config: JSONObject = {}
    if "nameservers" in record:
        where = f"{keyword}['nameservers']"
        config["nameservers"] = [_address(server, where) for server in items(record["nameservers"], where)]
    if "searches" in record:
        where = f"{keyword}['searches']"
        config["searches"] = [object_name(domain, where) for domain in items(record["searches"], where)]
    if "options" in record:
        options: list[JSON] = []
        for number, option in enumerate(items(record["options"], f"{keyword}['options']")):
            where = f"{keyword}['options'][{number}]"
            pair = fields(option, where, {"name", "value"}, '{"name": "ndots", "value": "2"}')
            if not all(isinstance(text, str) for text in pair.values()) or not pair.get("name"):
                raise InvalidOptionError(f"{where} is {option!r}: name and value are texts")
            options.append(passed_through(pair, where))
        config["options"] = options
    return config


def reference(value: object, keyword: str) -> JSON:
    """The name of an object that the pod's manifest names. Raises InvalidOptionError."""
    return object_name(value, keyword)


def queue(value: object, keyword: str) -> JSON:
    """The name of a LocalQueue, which is the value of a label. Raises InvalidOptionError."""
    name = object_name(value, keyword)
    if len(name) > pod_rules.MAX_QUEUE_CHARACTERS:
        raise InvalidOptionError(f"{keyword}={value!r} has more than {pod_rules.MAX_QUEUE_CHARACTERS} characters")
    return name


def grace(value: object, keyword: str) -> JSON:
    """Whole seconds. Raises InvalidOptionError."""
    return _whole(value, keyword, 1, pod_rules.MAX_GRACE_SECONDS, "of seconds")


def identity(value: object, keyword: str) -> JSON:
    """A user's or group's number. Raises InvalidOptionError."""
    # guard: not-root - Pod Security `restricted` refuses pods that run as root
    return _whole(value, keyword, 1, pod_rules.MAX_ID, "that isn't root's")


def _whole(value: object, keyword: str, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidOptionError(f"{keyword}={value!r} must be a number {what}, from {least} to {most}")
    return value


def _address(value: object, where: str) -> str:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else _refuse(value, where)
    except ValueError:
        return _refuse(value, where)


def _refuse(value: object, where: str) -> str:
    raise InvalidOptionError(f"{where} has the address {value!r}: write an IP address such as '10.0.0.1'")


OPTIONS: Final[Mapping[str, tuple[str, Conversion]]] = {
    "affinity": ("affinity", affinity),
    "topology_spread": ("topologySpreadConstraints", topology_spread),
    "runtime_class": ("runtimeClassName", reference),
    "priority_class": ("priorityClassName", reference),
    "scheduler_name": ("schedulerName", reference),
    "host_aliases": ("hostAliases", host_aliases),
    "dns_config": ("dnsConfig", dns_config),
    "termination_grace_seconds": ("terminationGracePeriodSeconds", grace),
    "run_as_user": ("runAsUser", identity),
    "fs_group": ("fsGroup", identity),
    "spot": ("spot", flag),
    "queue": ("queue", queue),
}
