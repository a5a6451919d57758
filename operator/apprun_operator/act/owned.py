"""Applies and deletes objects of an App only while the App owns them, by uid.

Their names may be taken. Server-side apply would take over any object of that name, and a delete by
name deletes any. So each object is read first, and the request is bound to the uid that was read.
"""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.client import APPLY, KubeApi
from apprun_operator.kube.errors import ConflictError, NotFoundError
from apprun_operator.kube.resources import Resource
from apprun_operator.observe.records import Key

FIELD_MANAGER: Final = "apprun-operator"


class NotOwnedError(Exception):
    """The object isn't the App's, and is left as it is. The message names it and says what to do."""


class PredecessorError(Exception):
    """The object belongs to an earlier App of the same name, or is being deleted: it will be gone
    soon."""


async def find_owned(
    api: KubeApi, resource: Resource, kind: str, key: Key, app: Key, app_uid: str
) -> JSONObject | None:
    """Read the object of that name.

    Returns:
        The object if the App owns it, None if there is none.

    Raises:
        NotOwnedError: Another object has the name.
        PredecessorError: The object of an earlier App still has the name.
    """
    try:
        existing = await api.get(resource.path(key.namespace, key.name))
    except NotFoundError:
        return None
    metadata = cast("JSONObject", existing["metadata"])
    owners = cast("list[JSONObject]", metadata.get("ownerReferences") or [])
    # guard: handler-owned - an object of this name may belong to somebody else
    if any(owner.get("uid") == app_uid for owner in owners):
        return existing
    earlier = any(_is_app(owner, app.name) for owner in owners)
    if earlier or "deletionTimestamp" in metadata:
        raise PredecessorError(
            f"{kind} {key.name} of an earlier App of this name is being removed: waiting until it is gone"
        )
    owner = f"it belongs to {owners[0].get('kind')} {owners[0].get('name')}" if owners else "it has no owner"
    raise NotOwnedError(
        f"{kind} {key.name!r} of namespace {key.namespace!r} was not made for this App ({owner}), so it was left as it"
        " is: rename or delete it, or give the App another name"
    )


def _is_app(owner: JSONObject, name: str) -> bool:
    """Whether the owner is an App of ours of that name: other groups have kinds called App as well."""
    ours = str(owner.get("apiVersion")).startswith(f"{names.GROUP}/")
    return ours and (owner.get("kind"), owner.get("name")) == (names.APP_KIND, name)


async def apply_owned(api: KubeApi, resource: Resource, body: JSONObject, existing: JSONObject | None) -> JSONObject:
    """Create or update the object so that it is like `body`. `existing` is what `find_owned`
    returned.

    Raises:
        ConflictError: The name has another object by now.
    """
    metadata = cast("JSONObject", body["metadata"])
    path = f"{resource.path(str(metadata['namespace']), str(metadata['name']))}?fieldManager={FIELD_MANAGER}"
    if existing is None:
        # Not forced: if somebody has created one of that name meanwhile, this conflicts over
        # selector and owner.
        # guard: handler-apply-no-force - forcing would take the fields of an object that somebody
        # created in between
        return await api.patch(path, body, APPLY)
    uid = cast("JSONObject", existing["metadata"])["uid"]
    # guard: handler-apply-by-uid - an object of the same name may have been created since it was
    # read
    return await api.patch(f"{path}&force=true", {**body, "metadata": {**metadata, "uid": uid}}, APPLY)


async def delete_owned(api: KubeApi, resource: Resource, key: Key, existing: JSONObject) -> None:
    """Delete exactly the object that was read, and in the background what it owns."""
    # guard: handler-delete-by-uid - an object of the same name may have been created since it was
    # read
    options: JSONObject = {
        "preconditions": {"uid": cast("JSONObject", existing["metadata"])["uid"]},
        "propagationPolicy": "Background",
    }
    try:
        await api.delete(resource.path(key.namespace, key.name), options)
    except (NotFoundError, ConflictError):
        # It is gone, or the name has another object by now, which isn't the App's to delete.
        pass
