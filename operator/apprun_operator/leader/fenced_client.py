"""An API client whose writes pass only while this replica leads. Reads always pass.

A process that was stopped for a while resumes in the middle of its work, perhaps after another
replica has taken over. So each write asks again whether the term still lasts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from application_sdk.wire.digest import JSONObject
from apprun_operator.kube.client import MERGE, KubeApi, PatchBody
from apprun_operator.kube.decode import Page
from apprun_operator.kube.errors import TransientError


class NotLeadingError(TransientError):
    """Another replica leads, or may lead: nothing was sent."""


class FencedClient:
    """A `KubeApi` whose writes raise NotLeadingError unless `may_write()` returns True."""

    def __init__(self, api: KubeApi, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSONObject:
        return await self._api.get(path, query)

    async def page(self, path: str, query: Mapping[str, str]) -> Page:
        return await self._api.page(path, query)

    async def create(self, path: str, body: JSONObject) -> JSONObject:
        self._check(path)
        return await self._api.create(path, body)

    async def patch(self, path: str, body: PatchBody, content_type: str = MERGE) -> JSONObject:
        self._check(path)
        return await self._api.patch(path, body, content_type)

    async def delete(self, path: str, options: JSONObject) -> JSONObject:
        self._check(path)
        return await self._api.delete(path, options)

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[JSONObject]]:
        return self._api.watch(path, query)

    def _check(self, path: str) -> None:
        # guard: leader-writes - a replica that has lost its lease must not write
        if not self._may_write():
            raise NotLeadingError(f"{path}: not written: this replica no longer leads")
