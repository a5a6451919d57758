"""Who may ask a server on a cluster: whom Kubernetes allows as much.

The caller's token is shown to the API server (TokenReview), then asked whether its owner may do to AppRuns of this
namespace what the request comes down to (LocalSubjectAccessReview). A token made for this purpose alone,
`kubectl create token NAME --audience=apprun.dev`, is good for nothing else, so it is the better one to send.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.errors import ApiError, Unreachable
from application_sdk.server.access import Action, Caller
from application_sdk.server.problems import Problem
from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject

AUDIENCE: Final = names.GROUP
_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/namespaces/{}/localsubjectaccessreviews"

_NEEDED: Final[Mapping[Action, tuple[str, str]]] = {
    "ask": ("create", names.APP_RUNS),
    "start": ("create", names.APP_RUNS),
    "look": ("get", names.APP_RUNS),
    "stop": ("patch", names.APP_RUNS),
    "describe": ("get", names.APPS),
}
"""What a caller must be allowed to do with which resource. Who may start runs may also ask the handler."""
_REMEMBERED_SECONDS: Final = 10.0
_REMEMBERED: Final = 1000
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="apprun"'}


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    fields: JSONObject


class ClusterAccess:
    """Asks the API server of one namespace, and remembers what it said for ten seconds."""

    def __init__(self, api: Api, namespace: str, app: str) -> None:
        self._api = api
        self._namespace = namespace
        self._app = app
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], tuple[float, _User, bool]] = OrderedDict()

    def check(self, authorization: str, action: Action, run: str = "") -> Caller:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(
                "Unauthenticated",
                "send `Authorization: Bearer TOKEN` with a Kubernetes token, for example one from "
                f"`kubectl create token NAME -n {self._namespace} --audience={AUDIENCE}`",
                headers=_CHALLENGE,
            )
        verb, resource = _NEEDED[action]
        name = self._app if action == "describe" else run
        user, allowed = self._judge(token.strip(), verb, resource, name)
        if not allowed:
            raise Problem(
                "Forbidden",
                f"{user.name} may not {verb} {resource}.{names.GROUP} in namespace {self._namespace}: a role of that "
                "namespace has to allow it",
            )
        return Caller(user.name)

    def _judge(self, token: str, verb: str, resource: str, name: str) -> tuple[_User, bool]:
        place = (hashlib.sha256(token.encode()).hexdigest(), f"{verb} {resource}", name)
        now = time.monotonic()
        with self._lock:
            known = self._known.get(place)
        if known is not None and now - known[0] < _REMEMBERED_SECONDS:
            return known[1], known[2]
        try:
            user = self._user(token)
            allowed = self._allowed(user, verb, resource, name)
        except (ApiError, Unreachable) as error:
            raise Problem("Unavailable", f"the API server couldn't be asked about the caller: {error}") from error
        with self._lock:
            self._known[place] = (now, user, allowed)
            self._known.move_to_end(place)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return user, allowed

    def _user(self, token: str) -> _User:
        why = ""
        own: JSONObject = {"token": token, "audiences": [AUDIENCE]}
        general: JSONObject = {"token": token}
        for spec in (own, general):
            review: JSONObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
            status = cast("JSONObject", self._api.ask(_TOKEN_REVIEWS, review).get("status") or {})
            if status.get("authenticated"):
                fields = cast("JSONObject", status.get("user") or {})
                return _User(str(fields.get("username", "")), fields)
            why = str(status.get("error") or "")
        told = f": {why}" if why else ""
        message = f"the token isn't valid (any more){told}. Get a new one"
        raise Problem("Unauthenticated", message, headers=_CHALLENGE)

    def _allowed(self, user: _User, verb: str, resource: str, name: str) -> bool:
        wanted: JSONObject = {"namespace": self._namespace, "verb": verb, "group": names.GROUP, "resource": resource}
        if name:
            wanted["name"] = name
        review: JSONObject = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": self._namespace},
            "spec": {
                "resourceAttributes": wanted,
                "user": user.name,
                "groups": user.fields.get("groups") or [],
                "uid": user.fields.get("uid") or "",
                "extra": user.fields.get("extra") or {},
            },
        }
        answer = self._api.ask(_ACCESS_REVIEWS.format(self._namespace), review)
        return bool(cast("JSONObject", answer.get("status") or {}).get("allowed"))
