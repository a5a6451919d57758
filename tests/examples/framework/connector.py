"""A connector of a REST API: a handler that asks whether a token is good, and a task that reads page after page."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from application_sdk.app import App, NonRetryableError, task
from application_sdk.contracts import Input, Output
from application_sdk.credentials import CredentialResolver, bearer_token_ref
from application_sdk.errors import AuthError
from application_sdk.execution.heartbeat import run_in_thread
from application_sdk.handler import Handler
from application_sdk.handler.contracts import (
    ApiMetadataObject,
    ApiMetadataOutput,
    AuthInput,
    AuthOutput,
    AuthStatus,
    MetadataInput,
    PreflightCheck,
    PreflightInput,
    PreflightOutput,
    PreflightStatus,
)
from application_sdk.infrastructure import get_infrastructure
from application_sdk.observability.logger_adaptor import get_logger
from application_sdk.storage import upload_file

logger = get_logger(__name__)


class ShelfInput(Input):
    credential_guid: str = ""
    max_pages: int = 10


class ShelfOutput(Output):
    output_path: str = ""
    record_count: int = 0


def get_page(base_url: str, token: str, page: int) -> list[dict[str, Any]]:
    request = Request(f"{base_url}/books?page={page}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urlopen(request, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except HTTPError as error:
        error.close()
        if error.code == 401:
            raise AuthError(message="the token is not accepted", auth_method="bearer", cause=error) from error
        if error.code == 404:
            raise NonRetryableError(f"there is no page {page}") from error
        raise


class LibraryApp(App):
    @task(timeout_seconds=600, auto_heartbeat_seconds=10)
    async def fetch_books(self, input: ShelfInput) -> ShelfOutput:
        infra = get_infrastructure()
        resolver = CredentialResolver(secret_store=infra.require_secret_store())
        raw = await resolver.resolve_raw(bearer_token_ref(input.credential_guid))
        token, base_url = str(raw["token"]), str(raw["base_url"])
        count = 0
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
            for page in range(1, input.max_pages + 1):
                books = await run_in_thread(get_page, base_url, token, page)
                if not books:
                    break
                for book in books:
                    file.write(json.dumps({"typeName": "Book", "attributes": {"name": book["title"]}}) + "\n")
                    count += 1
        key = "artifacts/library/books.jsonl"
        await upload_file(key, file.name, retain_local_copy=False)
        logger.info("books are stored", key=key, count=count)
        return ShelfOutput(output_path=key, record_count=count)

    async def run(self, input: ShelfInput) -> ShelfOutput:
        return await self.fetch_books(input)


class LibraryAppHandler(Handler):
    async def test_auth(self, input: AuthInput) -> AuthOutput:
        given = {part.key: part.value for part in input.credentials}
        try:
            await run_in_thread(get_page, given["base_url"], given.get("token", ""), 1)
        except AuthError as error:
            return AuthOutput(status=AuthStatus.INVALID_CREDENTIALS, message=error.message)
        return AuthOutput(status=AuthStatus.SUCCESS, message="welcome")

    async def preflight_check(self, input: PreflightInput) -> PreflightOutput:
        there = await run_in_thread(Path("/").exists)
        check = PreflightCheck(name="DiskCheck", passed=there, message="there is a disk")
        return PreflightOutput(status=PreflightStatus.READY, checks=[check], message="OK")

    async def fetch_metadata(self, input: MetadataInput) -> ApiMetadataOutput:
        return ApiMetadataOutput(objects=[ApiMetadataObject(value="shelf", title="Shelf")])
