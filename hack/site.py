"""Hooks of mkdocs: what is right in the repository and wouldn't be on a site of the docs/ folder alone."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link out of docs/ becomes the path that it leads to: those files aren't on the site."""
    folder = join("docs", dirname(page.file.src_uri))

    def inside(link: re.Match[str]) -> str:
        text, target, _ = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = normpath(join(folder, target))
        return link[0] if path.startswith("docs/") else f"{text} (`{path}` in the repository)"

    return _LINK.sub(inside, markdown)
