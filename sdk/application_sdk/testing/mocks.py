"""Stand-ins for the stores and the heartbeats of tasks: in memory, and they remember what was asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from application_sdk.app.standalone import detached_info
from application_sdk.attempt.heartbeat import NoWatchdog
from application_sdk.attempt.task_context import TaskContext
from application_sdk.credentials.ref import (
    CredentialRef,
    api_key_ref,
    basic_ref,
    bearer_token_ref,
    certificate_ref,
    git_ssh_ref,
    git_token_ref,
    oauth_client_ref,
)
from application_sdk.credentials.resolver import CredentialResolver, checked
from application_sdk.infrastructure import SecretNotFoundError
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import ProgressFields


class MockSecretStore:
    """A `SecretStore` in memory."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        self._get_calls: list[str] = []
        self._get_optional_calls: list[str] = []

    async def get(self, name: str) -> str:
        self._get_calls.append(name)
        if name not in self._secrets:
            raise SecretNotFoundError(f"the mock has no secret {name!r}; it has {', '.join(self._secrets) or 'none'}")
        return self._secrets[name]

    async def get_optional(self, name: str) -> str | None:
        self._get_optional_calls.append(name)
        return self._secrets.get(name)

    async def get_bulk(self, names: list[str]) -> dict[str, str]:
        """Those of these secrets that there are."""
        return {name: self._secrets[name] for name in names if name in self._secrets}

    async def list_names(self) -> list[str]:
        return list(self._secrets)

    def set(self, name: str, value: str) -> None:
        """Add or replace a secret."""
        self._secrets[name] = value

    def get_get_calls(self) -> list[str]:
        """The names that `get` was called with."""
        return list(self._get_calls)

    def get_get_optional_calls(self) -> list[str]:
        """The names that `get_optional` was called with."""
        return list(self._get_optional_calls)

    def reset_calls(self) -> None:
        """Forget the calls, keep the secrets."""
        self._get_calls.clear()
        self._get_optional_calls.clear()

    def clear(self) -> None:
        """Forget the secrets, keep the calls."""
        self._secrets.clear()

    def reset(self) -> None:
        """Forget everything."""
        self.reset_calls()
        self.clear()


class MockStateStore:
    """A `StateStore` in memory."""

    def __init__(self) -> None:
        self._data: dict[str, JSONObject] = {}
        self._save_calls: list[tuple[str, JSONObject]] = []
        self._load_calls: list[str] = []
        self._delete_calls: list[str] = []
        self._list_keys_calls: list[str] = []

    async def save(self, key: str, value: JSONObject) -> None:
        self._save_calls.append((key, value))
        self._data[key] = value

    async def load(self, key: str) -> JSONObject | None:
        self._load_calls.append(key)
        return self._data.get(key)

    async def delete(self, key: str) -> bool:
        self._delete_calls.append(key)
        return self._data.pop(key, None) is not None

    async def list_keys(self, prefix: str = "") -> list[str]:
        self._list_keys_calls.append(prefix)
        return [key for key in self._data if key.startswith(prefix)]

    def get_save_calls(self) -> list[tuple[str, JSONObject]]:
        """Keys and values that `save` was called with."""
        return list(self._save_calls)

    def get_load_calls(self) -> list[str]:
        """The keys that `load` was called with."""
        return list(self._load_calls)

    def get_delete_calls(self) -> list[str]:
        """The keys that `delete` was called with."""
        return list(self._delete_calls)

    def get_list_keys_calls(self) -> list[str]:
        """The prefixes that `list_keys` was called with."""
        return list(self._list_keys_calls)

    def reset_calls(self) -> None:
        """Forget the calls, keep the data."""
        for calls in (self._save_calls, self._load_calls, self._delete_calls, self._list_keys_calls):
            calls.clear()

    def clear(self) -> None:
        """Forget the data, keep the calls."""
        self._data.clear()

    def reset(self) -> None:
        """Forget everything."""
        self.reset_calls()
        self.clear()


class MockCredentialStore:
    """A `CredentialStore` in memory. Each `add_…` returns the reference that resolves to what was added.

    What was added lies in `secret_store` as it would in a real one, so it is read, checked and typed as there.
    """

    def __init__(self) -> None:
        self.secret_store = MockSecretStore()
        """Holds what was added, for `InfrastructureContext(secret_store=…)` or a `CredentialResolver`."""
        self._credentials: list[tuple[object, object]] = []
        self._resolve_calls: list[object] = []

    def add_api_key(
        self, name: str, api_key: str, *, header_name: str = "X-API-Key", prefix: str = ""
    ) -> CredentialRef:
        return self._add(api_key_ref(name), {"api_key": api_key, "header_name": header_name, "prefix": prefix})

    def add_basic(self, name: str, username: str, password: str) -> CredentialRef:
        return self._add(basic_ref(name), {"username": username, "password": password})

    def add_bearer_token(self, name: str, token: str, *, expires_at: str = "") -> CredentialRef:
        return self._add(bearer_token_ref(name), {"token": token, "expires_at": expires_at})

    def add_oauth_client(
        self,
        name: str,
        client_id: str,
        client_secret: str,
        token_url: str,
        *,
        scopes: Sequence[str] = (),
        access_token: str = "",
        refresh_token: str = "",
        expires_at: str = "",
    ) -> CredentialRef:
        fields: JSONObject = {
            "client_id": client_id,
            "client_secret": client_secret,
            "token_url": token_url,
            "scopes": list(scopes),
            "access_token": access_token,
            "refresh_token": refresh_token,
            "expires_at": expires_at,
        }
        return self._add(oauth_client_ref(name), fields)

    def add_certificate(
        self, name: str, *, cert_data: str = "", key_data: str = "", ca_data: str = "", passphrase: str = ""
    ) -> CredentialRef:
        fields: JSONObject = {
            "cert_data": cert_data,
            "key_data": key_data,
            "ca_data": ca_data,
            "passphrase": passphrase,
        }
        return self._add(certificate_ref(name), fields)

    def add_git_ssh(self, name: str, key_data: str, *, passphrase: str = "") -> CredentialRef:
        return self._add(git_ssh_ref(name), {"key_data": key_data, "passphrase": passphrase})

    def add_git_token(self, name: str, token: str) -> CredentialRef:
        return self._add(git_token_ref(name), {"token": token})

    def add_raw(self, name: str, credential_type: str, data: JSONObject) -> CredentialRef:
        """A credential of any type, also one of the app's own, from its stored fields."""
        return self._add(CredentialRef(name=name, credential_type=credential_type), data)

    def put(self, ref: object, credential: object) -> None:
        """Have `ref`, whatever it is, resolve to this very object."""
        self._credentials.insert(0, (ref, credential))

    async def resolve(self, ref: object) -> object:
        self._resolve_calls.append(ref)
        for known, credential in self._credentials:
            if known == ref:
                return credential
        return await CredentialResolver(self.secret_store).resolve(checked(ref))

    def _add(self, ref: CredentialRef, fields: JSONObject) -> CredentialRef:
        self.secret_store.set(ref.name, json.dumps(fields))
        return ref

    def get_resolve_calls(self) -> list[object]:
        """The references that were asked for."""
        return list(self._resolve_calls)


class MockHeartbeatController:
    """Takes the heartbeats of a task that is called on a bare instance, and gives it an earlier attempt's details.

    Use it through the fixture `mock_heartbeat`, or put `context` in place with `app.standalone.replace_task_context`.
    """

    def __init__(self, details: JSONObject | None = None) -> None:
        self._heartbeats: list[JSONObject] = []
        self._progress: list[ProgressFields] = []
        self.context = TaskContext(detached_info("mock", heartbeat=details), self, NoWatchdog())

    def heartbeat(self, details: JSONObject) -> None:
        self._heartbeats.append(details)

    def progress(self, progress: ProgressFields) -> None:
        self._progress.append(progress)

    def get_heartbeat_calls(self) -> list[JSONObject]:
        """The details of all heartbeats that had some, as JSON."""
        return list(self._heartbeats)

    def get_progress_calls(self) -> list[ProgressFields]:
        """What was told of the progress."""
        return list(self._progress)

    def reset_calls(self) -> None:
        """Forget what was told."""
        self._heartbeats.clear()
        self._progress.clear()
