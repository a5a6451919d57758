"""`python -m hack.base_digest` asks the registry for the digest that the base image's tag has today, and writes it into
the Dockerfile; `--check` only says whether it is another.

Where the registry can't be reached nothing is changed, and the exit code is 2: the digest that stands there stays.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DOCKERFILE = Path(__file__).resolve().parents[1] / "Dockerfile"
BASE = re.compile(
    r"^ARG BASE=(?P<registry>[\w.-]+(?::\d+)?)/(?P<name>[\w./-]+):(?P<tag>[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})$",
    re.M,
)
HOSTS = {"docker.io": "registry-1.docker.io"}
KINDS = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
TIMEOUT_SECONDS = 20
UNREACHABLE = 2


class UnreachableError(Exception):
    """The registry gave no answer that helps: the text says what it said."""


def current(registry: str, name: str, tag: str, scheme: str = "https") -> str:
    """The digest of a tag's index, which stands for all architectures. Raises UnreachableError."""
    host = HOSTS.get(registry, registry)
    request = urllib.request.Request(f"{scheme}://{host}/v2/{name}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", ", ".join(KINDS))
    try:
        answer = _sent(request)
    except (OSError, ValueError, KeyError) as error:
        raise UnreachableError(f"{host} doesn't say what {name}:{tag} is: {error}") from error
    digest = str(answer.headers.get("Docker-Content-Digest", ""))
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise UnreachableError(f"{host} names no digest for {name}:{tag}")
    return digest


def _sent(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        # Registries give anonymous callers a token, and say where.
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or "realm" not in challenge:
            raise
    query = "&".join(f"{name}={challenge[name]}" for name in ("service", "scope") if name in challenge)
    with urllib.request.urlopen(f"{challenge['realm']}?{query}", timeout=TIMEOUT_SECONDS) as answer:
        request.add_header("Authorization", f"Bearer {json.load(answer)['token']}")
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when the digest is today's (or was written), 1 when `--check` found another one, 2 when the registry
    can't be asked."""
    parser = argparse.ArgumentParser(prog="python -m hack.base_digest", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the tag has another digest")
    parser.add_argument("--dockerfile", type=Path, default=DOCKERFILE)
    parser.add_argument("--scheme", default="https", choices=("https", "http"))
    options = parser.parse_args(arguments)
    text = options.dockerfile.read_text("utf-8")
    base = BASE.search(text)
    if base is None:
        print(f"{options.dockerfile}: ARG BASE has to be REGISTRY/NAME:TAG@sha256:…", file=sys.stderr)
        return 1
    try:
        digest = current(base["registry"], base["name"], base["tag"], options.scheme)
    except UnreachableError as error:
        print(f"{error}\nNothing was changed: {base['digest']} stays.", file=sys.stderr)
        return UNREACHABLE
    if digest == base["digest"]:
        print(f"{base['name']}:{base['tag']} is still {digest}")
        return 0
    print(f"{base['name']}:{base['tag']} is {digest}, and was {base['digest']}")
    if options.check:
        return 1
    options.dockerfile.write_text(text.replace(base["digest"], digest), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
