"""Who may ask a server on a cluster: whom Kubernetes allows as much.

The caller's token is shown to the API server (TokenReview), which is then asked whether its owner
may do to AppRuns of this namespace what the request comes down to (LocalSubjectAccessReview). The
token has to be made for this app alone, `kubectl create token NAME
--audience=apprun.dev/NAMESPACE/APP`, since the app's code sees it: one that were good for another
app, or for the API server, could be used there by whoever wrote this one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.errors import ApiError, Unreachable
from application_sdk.server.access import Action, Caller
from application_sdk.server.errors import Problem
from application_sdk.server.tokens import flaw
from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject

_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/namespaces/{}/localsubjectaccessreviews"

_NEEDED: Final[Mapping[Action, tuple[str, str]]] = {
    "ask": ("create", names.APP_RUNS),
    "start": ("create", names.APP_RUNS),
    "look": ("get", names.APP_RUNS),
    "stop": ("patch", names.APP_RUNS),
    "describe": ("get", names.APPS),
}
"""What a caller must be allowed to do with which resource. Who may start runs may also ask the
handler."""
_REMEMBERED_SECONDS: Final = 10.0
_REMEMBERED: Final = 1000
"""How many answers are remembered of good tokens, and how many refusals of others, apart from each
other."""
_MAX_REASON: Final = 300
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="apprun"'}


Value = TypeVar("Value")


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
        self._audience = names.handler_audience(namespace, app)
        self._known: _Memory[tuple[_User, bool]] = _Memory()
        self._refused: _Memory[str] = _Memory()

    def recall(self, authorization: str, action: Action, run: str = "") -> Caller | None:
        token = self._token(authorization)
        digest = _digest(token)
        # A refused token first: looking into it again would cost more.
        why = self._refused.get(digest) or flaw(token, self._audience)
        if why:
            self._refused.put(digest, why)
            raise self._unauthenticated(why)
        verb, resource = _NEEDED[action]
        known = self._known.get(f"{digest} {verb} {resource} {self._name(action, run)}")
        return self._caller(*known, verb, resource) if known is not None else None

    def check(self, authorization: str, action: Action, run: str = "") -> Caller:
        known = self.recall(authorization, action, run)
        if known is not None:
            return known
        token, (verb, resource), name = self._token(authorization), _NEEDED[action], self._name(action, run)
        try:
            user = self._user(token)
            allowed = self._allowed(user, verb, resource, name)
        except (ApiError, Unreachable) as error:
            raise Problem("Unavailable", f"the API server couldn't be asked about the caller: {error}") from error
        self._known.put(f"{_digest(token)} {verb} {resource} {name}", (user, allowed))
        return self._caller(user, allowed, verb, resource)

    def _token(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise self._unauthenticated("the request has no token")
        return token.strip()

    def _name(self, action: Action, run: str) -> str:
        return self._app if action == "describe" else run

    def _caller(self, user: _User, allowed: bool, verb: str, resource: str) -> Caller:
        if not allowed:
            raise Problem(
                "Forbidden",
                f"{user.name} may not {verb} {resource}.{names.GROUP} in namespace {self._namespace}: a role of that "
                "namespace has to allow it",
            )
        return Caller(user.name)

    def _unauthenticated(self, why: str) -> Problem:
        return Problem(
            "Unauthenticated",
            f"{why}. Send `Authorization: Bearer TOKEN` with a token that is made for this app, such as one from "
            f"`kubectl create token NAME -n {self._namespace} --audience={self._audience}`",
            headers=_CHALLENGE,
        )

    def _user(self, token: str) -> _User:
        spec: JSONObject = {"token": token, "audiences": [self._audience]}
        review: JSONObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status = cast("JSONObject", self._api.ask(_TOKEN_REVIEWS, review).get("status") or {})
        if status.get("authenticated") and self._audience in cast("list[JSON]", status.get("audiences") or []):
            fields = cast("JSONObject", status.get("user") or {})
            return _User(str(fields.get("username", "")), fields)
        reason = str(status.get("error") or "")[:_MAX_REASON]
        why = f"the token isn't valid (any more){f': {reason}' if reason else ''}"
        self._refused.put(_digest(token), why)
        raise self._unauthenticated(why)

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


class _Memory(Generic[Value]):
    """What was said lately, by key: for ten seconds, and of so many keys at most. Any thread may
    ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        """What was said, or None if that was nothing, or is too old."""
        with self._lock:
            held = self._held.get(key)
        return held[1] if held is not None and time.monotonic() - held[0] < _REMEMBERED_SECONDS else None

    def put(self, key: str, value: Value) -> None:
        """Remember this. What is remembered already keeps its age, so that no refusal lasts by
        being asked for."""
        if self.get(key) is not None:
            return
        with self._lock:
            self._held[key] = (time.monotonic(), value)
            self._held.move_to_end(key)
            if len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
