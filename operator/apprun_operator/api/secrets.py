"""What an app is given that nobody else may read: Secrets, declared on the App and mounted into its task pods."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import ConfigDict, Field

from apprun_operator.api.shapes import LIST_KEYS, LIST_TYPE, RULES, NameReference, ObjectName, Shape, rule

SECRETS_MAX_ITEMS: Final = 32

Attributes: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=4096)]], Field(max_length=32)
]


class CsiVolume(Shape):
    """A volume that a driver of the cluster fills, such as the Secrets Store CSI Driver."""

    driver: ObjectName
    """Name of the driver: `secrets-store.csi.k8s.io`."""
    volume_attributes: Attributes | None = None
    """What the driver wants to know: `secretProviderClass: my-vault`."""
    node_publish_secret_ref: NameReference | None = None
    """Secret that the driver itself needs on the node."""


class SecretMount(Shape):
    """One folder of secrets, `/apprun/secrets/<name>`, with a file for each key."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule("!has(self.secret) || !has(self.csi)", "give one of secret and csi"),
                rule(
                    "!has(self.csi) || (!has(self.keys) && !has(self.optional))",
                    "keys and optional are for Secrets: a CSI driver has its own way to say that",
                ),
            ]
        }
    )

    name: ObjectName
    """What the code calls it: `self.context.get_secret("name")`, `basic_ref("name")`. The Secret has that
    name too, unless `secret` or `csi` says otherwise."""
    secret: NameReference | None = None
    """The Secret in the App's namespace, when it has another name."""
    csi: CsiVolume | None = None
    """A CSI volume in place of a Secret."""
    keys: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]],
            Field(min_length=1, max_length=64, json_schema_extra={LIST_TYPE: "set"}),
        ]
        | None
    ) = None
    """The keys that are mounted, and that have to be there; all that there are when absent."""
    optional: bool | None = None
    """True: tasks start without it when it isn't there. Otherwise they wait until it is."""
    driver: bool | None = None
    """True: the run's driver is given it as well, for tasks with `runs_in="driver"`. The route could read it, too."""


SecretMounts: TypeAlias = Annotated[
    list[SecretMount],
    Field(max_length=SECRETS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]}),
]
