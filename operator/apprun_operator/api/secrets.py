"""Secrets of an app: declared on the App, and mounted into its task pods."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import ConfigDict, Field

from apprun_operator.api.shapes import LIST_KEYS, LIST_TYPE, RULES, NameReference, ObjectName, Shape, rule

SECRETS_MAX_ITEMS: Final = 32

Attributes: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=4096)]], Field(max_length=32)
]


class CsiVolume(Shape):
    """A volume of a CSI driver, such as the Secrets Store CSI Driver."""

    driver: ObjectName
    """Name of the CSI driver: `secrets-store.csi.k8s.io`."""
    volume_attributes: Attributes | None = None
    """Attributes for the CSI driver: `secretProviderClass: my-vault`."""
    node_publish_secret_ref: NameReference | None = None
    """Secret that the CSI driver itself needs on the node."""


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
    """Name in the code: `self.context.get_secret("name")`, `basic_ref("name")`. It is also the name
    of the Secret, unless `secret` or `csi` is set."""
    secret: NameReference | None = None
    """The Secret in the App's namespace, if it has another name."""
    csi: CsiVolume | None = None
    """A CSI volume instead of a Secret."""
    keys: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]],
            Field(min_length=1, max_length=64, json_schema_extra={LIST_TYPE: "set"}),
        ]
        | None
    ) = None
    """The keys to mount, all of which have to exist. All keys of the Secret when absent."""
    optional: bool | None = None
    """True lets tasks start although the Secret doesn't exist. Otherwise they wait for it."""
    driver: bool | None = None
    """True mounts it into the run's driver as well, for tasks with `runs_in="driver"`. The route
    could read it, too."""


SecretMounts: TypeAlias = Annotated[
    list[SecretMount],
    Field(max_length=SECRETS_MAX_ITEMS, json_schema_extra={LIST_TYPE: "map", LIST_KEYS: ["name"]}),
]
