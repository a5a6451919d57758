"""S3 and what is compatible, Google Cloud Storage and Azure as stores, through obstore.

obstore signs, retries and makes the requests; here its errors get our words. It is imported when a
store is opened, so that only tasks that move files pay for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from application_sdk.storage.errors import (
    ObjectMissingError,
    StorageError,
    StoreNotConfiguredError,
    StoreRefusedError,
    StoreUnavailableError,
)
from application_sdk.storage.store import Cleared, ObjectInfo, part_size, parts_in_flight

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CLIENT_OPTIONS: Final = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
_RETRIES: Final = 8
_RETRY_SECONDS: Final = 60.0
_REQUEST_TIMEOUT: Final = "120s"
"""Of one request, its body included: a part of 8 MiB, at 70 KB a second."""
_DELETE_BATCH: Final = 1000
_MESSAGE_LENGTH: Final = 500

_QUERY: Final = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"')]+")
_ANSWER: Final = re.compile(r"<\?xml.*?<Code>(.*?)</Code>(?:.*?<Message>(.*?)</Message>)?.*", re.DOTALL)
_NO_STORE: Final = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound")
_NO_RANGE: Final = "416 Range Not Satisfiable"
_REFUSALS: Final = (
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "403 Forbidden",
    "401 Unauthorized", "NoCredentials", "credentials", "No user exists with the provided access key",
)  # fmt: skip
_FULL: Final = ("507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "no space left", "disk quota")


class RemoteStore:
    """Implements `Store` over an object store."""

    keeps_content_type = True

    def __init__(self, name: str, store: ObjectStore) -> None:
        # An optional dependency, of stores in the cloud alone.
        import obstore

        self._obstore = obstore
        self._store = store
        self._name = name

    @classmethod
    def open(cls, url: str, options: Mapping[str, str]) -> RemoteStore:
        """The store of this URL. Makes no request. Raises StoreNotConfiguredError."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise StoreNotConfiguredError(
                f"{without_secrets(url)} needs obstore, which isn't installed: pip install '/path/to/apprun[files]', "
                "in an image of your own as well"
            ) from error
        client: ClientConfig = {"timeout": _REQUEST_TIMEOUT}
        config: dict[str, Any] = {}
        for option, value in options.items():
            if option.lower() in _CLIENT_OPTIONS:
                client[option.lower()] = _flag(value)  # type: ignore[literal-required]
            else:
                config[option.lower()] = value
        endpoint = config.get("endpoint") or config.get("aws_endpoint") or config.get("endpoint_url") or ""
        if str(endpoint).startswith("http://"):
            client.setdefault("allow_http", True)
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
        try:
            store = from_url(url, config=config, client_options=client, retry_config=retry)  # type: ignore[call-overload]
        except (BaseError, ValueError, TypeError) as error:
            raise StoreNotConfiguredError(
                f"the store {without_secrets(url)} can't be opened: {_brief(error)}. Its options: "
                f"{', '.join(sorted(options)) or 'none'}"
            ) from None
        return cls(without_secrets(url), store)

    @property
    def name(self) -> str:
        return self._name

    async def head(self, key: str) -> ObjectInfo | None:
        with self._errors(f"ask for {key!r}"):
            try:
                found = await self._obstore.get_async(self._store, key, options={"head": True})
            except FileNotFoundError as error:
                self._check_store(error)
                return None
            meta = found.meta
            return ObjectInfo(key, meta["size"], _content_type(found.attributes), meta["last_modified"].timestamp())

    async def put(self, key: str, chunks: AsyncIterator[bytes], size: int, content_type: str) -> None:
        part = part_size(size)
        watched = _Watched(chunks)
        with self._errors(f"write {key!r}", watched):
            await self._obstore.put_async(
                self._store,
                key,
                watched,
                attributes={"Content-Type": content_type},
                use_multipart=True,
                chunk_size=part,
                max_concurrency=parts_in_flight(part),
            )

    async def put_bytes(self, key: str, content: bytes, content_type: str) -> None:
        with self._errors(f"write {key!r}"):
            await self._obstore.put_async(
                self._store, key, content, attributes={"Content-Type": content_type}, use_multipart=False
            )

    async def get(self, key: str, start: int, length: int) -> bytes:
        from obstore.exceptions import BaseError

        with self._errors(f"read {key!r}"):
            try:
                found = await self._obstore.get_async(self._store, key, options={"range": (start, start + length)})
                return bytes(await found.buffer_async())
            except BaseError as error:
                if _NO_RANGE in str(error):
                    return b""
                raise
            except FileNotFoundError as error:
                self._check_store(error)
                raise ObjectMissingError(f"the store {self.name} has no object {key!r}: was it deleted?") from error

    async def copy(self, source: str, target: str) -> None:
        with self._errors(f"copy {source!r}"):
            try:
                await self._obstore.copy_async(self._store, source, target)
            except FileNotFoundError as error:
                self._check_store(error)
                raise ObjectMissingError(f"the store {self.name} has no object {source!r}: was it deleted?") from error

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        with self._errors(f"list {prefix!r}"):
            async for batch in self._obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=_DELETE_BATCH):
                for meta in batch:
                    yield ObjectInfo(meta["path"], meta["size"], None, meta["last_modified"].timestamp())

    async def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        for at in range(0, len(doomed), _DELETE_BATCH):
            with self._errors("delete objects"):
                try:
                    await self._obstore.delete_async(self._store, doomed[at : at + _DELETE_BATCH])
                except FileNotFoundError as error:
                    self._check_store(error)

    async def clear(self, prefix: str, keep: Container[str]) -> Cleared:
        count = size = 0
        doomed: list[str] = []
        async for info in self.list(prefix):
            if info.key not in keep:
                doomed.append(info.key)
                count, size = count + 1, size + info.size
        await self.delete(doomed)
        return Cleared(count, size)

    def _check_store(self, error: FileNotFoundError) -> None:
        """Tell an object that isn't there from a store that isn't, or that doesn't know us."""
        text = str(error)
        if any(sign in text for sign in _NO_STORE + _REFUSALS):
            raise error

    @contextmanager
    def _errors(self, action: str, watched: _Watched | None = None) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except StorageError:
            raise
        except (BaseError, OSError, ValueError, TypeError, RuntimeError) as error:
            if watched is not None and watched.error is not None:
                raise watched.error from None
            text = str(error)
            refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
            if refused or any(sign in text for sign in _REFUSALS):
                raise StoreRefusedError(
                    f"the store {self.name} refuses to {action}: {_brief(error)}. Check the keys in the Secret of "
                    "App.spec.storage.secretRef, and what they may do"
                ) from None
            if isinstance(error, FileNotFoundError):
                raise StoreRefusedError(f"the store {self.name} isn't there: {_brief(error)}") from None
            if any(sign.lower() in text.lower() for sign in _FULL):
                raise StoreUnavailableError(f"the store {self.name} is full: {_brief(error)}") from None
            raise StoreUnavailableError(f"the store {self.name} failed to {action}: {_brief(error)}") from None


class _Watched:
    """Passes chunks on, and keeps an error of theirs, which obstore would turn into text."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def without_secrets(url: str) -> str:
    """A URL without query and user information."""
    scheme, separator, rest = url.partition("://")
    rest = rest.partition("?")[0]
    host, slash, path = rest.partition("/")
    if scheme not in ("az", "abfs", "abfss"):  # There `container@account` is no secret.
        host = host.rpartition("@")[2]
    return f"{scheme}{separator}{host}{slash}{path}"


def _flag(value: str) -> str | bool:
    return {"true": True, "false": False}.get(value.lower(), value)


def _content_type(attributes: Mapping[str, str]) -> str | None:
    return attributes.get("Content-Type")


def _brief(error: BaseException) -> str:
    """An error of obstore's in a line. Queries of URLs, where signatures travel, are left out, and
    of a store's answer all but its code and message, since some tell what was signed with which
    key."""
    text = _QUERY.sub(r"\1", str(error).partition("\n\nDebug source:")[0])
    text = _ANSWER.sub(lambda found: f"{found[1]}: {found[2] or ''}", text)
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_LENGTH else f"{line[:_MESSAGE_LENGTH]}…"
