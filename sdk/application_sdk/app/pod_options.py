"""The keywords of `@task` that shape its pod, from Python's notation to the fields of a pod's manifest.

Loaded only where a task uses one of them. Each keyword has a function below that checks its value
and says what to write instead; the API server checks the same for an App's spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NotRequired, TypedDict, cast

from application_sdk.app import pod_placement
from application_sdk.app.pod_option_checks import (
    KEY,
    LABEL_VALUE,
    VARIABLE,
    InvalidOptionError,
    entries,
    fields,
    flag,
    items,
    object_name,
    one_of,
    qualified,
    text,
)
from application_sdk.app.pod_volumes import volumes
from application_sdk.errors import AppDefinitionError
from application_sdk.wire import pod_rules
from application_sdk.wire.digest import JSON, JSONObject
from application_sdk.wire.pod_fields import EnvFrom, EnvVariable, KeyReference, ObjectReference, PodFields


class SecretKey(TypedDict):
    """One key of a Secret, as the value of an environment variable."""

    secret: str
    """Name of the Secret, in the run's namespace."""
    key: str
    """The key in it."""
    optional: NotRequired[bool]
    """True starts the pod without the variable if the Secret or the key is missing."""


class ConfigMapKey(TypedDict):
    """One key of a ConfigMap, as the value of an environment variable."""

    configMap: str
    """Name of the ConfigMap, in the run's namespace."""
    key: str
    """The key in it."""
    optional: NotRequired[bool]
    """True starts the pod without the variable if the ConfigMap or the key is missing."""


class SecretSource(TypedDict):
    """All keys of a Secret as environment variables."""

    secret: str
    """Name of the Secret, in the run's namespace."""
    prefix: NotRequired[str]
    """Text that the names of the variables begin with."""
    optional: NotRequired[bool]
    """True starts the pod without them if the Secret is missing."""


class ConfigMapSource(TypedDict):
    """All keys of a ConfigMap as environment variables."""

    configMap: str
    """Name of the ConfigMap, in the run's namespace."""
    prefix: NotRequired[str]
    """Text that the names of the variables begin with."""
    optional: NotRequired[bool]
    """True starts the pod without them if the ConfigMap is missing."""


def with_pod_options(pod: PodFields, options: Mapping[str, object], title: str) -> PodFields:
    """The fields of a pod with the keywords among `options` over them.

    Args:
        pod: The fields that the task has without these options.
        options: Keywords of `@task` or `.options()`. Others than those of pods are left alone.
        title: Whose options they are, for the message of an error.

    Raises:
        AppDefinitionError: A value can't be meant, or says something of the pod that is AppRun's.
    """
    changed: JSONObject = {**cast("JSONObject", pod)}
    for keyword, value in options.items():
        if keyword in OPTIONS:
            field, convert = OPTIONS[keyword]
            try:
                changed[field] = convert(value, keyword)
            except InvalidOptionError as error:
                raise AppDefinitionError(f"{title}: {error}") from error
    return cast("PodFields", changed)


def _env(value: object, keyword: str) -> JSON:
    variables: list[EnvVariable] = []
    for name, content in entries(value, keyword).items():
        where = f"{keyword}[{name!r}]"
        if not VARIABLE.fullmatch(name):
            raise InvalidOptionError(
                f"{where} is no name of an environment variable: use letters, digits and _, no digit first"
            )
        # guard: env-own-variable - a variable of AppRun's would change how a pod finds its call
        if pod_rules.is_own_variable(name):
            raise InvalidOptionError(f"{where} is set by AppRun: choose another name, that doesn't begin with APPRUN_")
        if isinstance(content, str):
            variables.append({"name": name, "value": text(content, where)})
        else:
            owner, reference = _key_reference(content, where)
            source = "secretKeyRef" if owner == "secret" else "configMapKeyRef"
            variables.append(cast("EnvVariable", {"name": name, "valueFrom": {source: reference}}))
    return cast("JSON", variables)


def _key_reference(content: object, where: str) -> tuple[str, KeyReference]:
    record = fields(
        content,
        where,
        {"secret", "configMap", "key", "optional"},
        'a text, {"secret": name, "key": key} or {"configMap": name, "key": key}',
    )
    owner = one_of(record, ("secret", "configMap"), where)
    key = record.get("key")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise InvalidOptionError(f"{where} has the key {key!r}: name the key of the {owner} that holds the value")
    reference = KeyReference(name=object_name(record[owner], f"{where}[{owner!r}]"), key=key)
    if "optional" in record:
        reference["optional"] = flag(record["optional"], f"{where}['optional']")
    return owner, reference


def _env_from(value: object, keyword: str) -> JSON:
    sources: list[EnvFrom] = []
    for number, content in enumerate(items(value, keyword)):
        where = f"{keyword}[{number}]"
        record = fields(
            content, where, {"secret", "configMap", "prefix", "optional"}, '{"secret": name} or {"configMap": name}'
        )
        owner = one_of(record, ("secret", "configMap"), where)
        reference: JSONObject = {"name": object_name(record[owner], f"{where}[{owner!r}]")}
        if "optional" in record:
            reference["optional"] = flag(record["optional"], f"{where}['optional']")
        source: JSONObject = {"secretRef" if owner == "secret" else "configMapRef": reference}
        if "prefix" in record:
            prefix = record["prefix"]
            if not isinstance(prefix, str) or not VARIABLE.fullmatch(prefix) or pod_rules.is_own_variable(prefix):
                raise InvalidOptionError(
                    f"{where} has the prefix {prefix!r}: use letters, digits and _, and not APPRUN_"
                )
            source["prefix"] = prefix
        sources.append(cast("EnvFrom", source))
    return cast("JSON", sources)


def _labels(value: object, keyword: str) -> JSON:
    labels: JSONObject = {}
    for key, content in entries(value, keyword).items():
        where = f"{keyword}[{key!r}]"
        qualified(key, where)
        # guard: label-own-prefix - the operator finds a call's pod, and its role, by these labels
        if pod_rules.is_own_label(key):
            raise InvalidOptionError(
                f"{where} is set by AppRun, as all under {pod_rules.OWN_KEY_PREFIX}: choose another key"
            )
        if not isinstance(content, str) or len(content) > 63 or not LABEL_VALUE.fullmatch(content):
            raise InvalidOptionError(
                f"{where} has the value {content!r}: use up to 63 letters, digits, -, _ and ., with a "
                "letter or digit first and last"
            )
        labels[key] = content
    return labels


def _annotations(value: object, keyword: str) -> JSON:
    annotations: JSONObject = {}
    for key, content in entries(value, keyword).items():
        where = f"{keyword}[{key!r}]"
        qualified(key, where)
        # guard: annotation-own-prefix - the call itself travels in an annotation
        if pod_rules.is_own_annotation(key):
            raise InvalidOptionError(f"{where} is AppRun's, or changes the security profile of the pod: leave it out")
        annotations[key] = text(content, where)
    return annotations


def _pull_secrets(value: object, keyword: str) -> JSON:
    return cast(
        "JSON",
        [
            ObjectReference(name=object_name(name, f"{keyword}[{number}]"))
            for number, name in enumerate(items(value, keyword))
        ],
    )


Conversion = Callable[[object, str], JSON]

OPTIONS: Final[Mapping[str, tuple[str, Conversion]]] = {
    "env": ("env", _env),
    "env_from": ("envFrom", _env_from),
    "labels": ("labels", _labels),
    "annotations": ("annotations", _annotations),
    "image_pull_secrets": ("imagePullSecrets", _pull_secrets),
    "volumes": ("volumes", volumes),
    **pod_placement.OPTIONS,
}
"""Keyword, field of the pod, and the function that checks and converts the value."""
