r"""How text from runs, pods and clusters is shown: with its control characters as escapes, never as
themselves.

Whoever writes a task's error, a print, a label or a reason may put sequences into it that a
terminal obeys: they change the clipboard (OSC 52) or the window's title, overwrite what stands on
the screen (CR, backspace, CSI), or turn the order of letters around. Everything that the command
line writes passes through here.

The escapes are those of JSON (`\u001b`), so that the same function serves text and JSON: in a JSON
document such characters occur inside of strings only, where the escape means the character.
"""

from __future__ import annotations

import re
from typing import Final

_ALWAYS: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""C0 but tab and newline, DEL, C1 (some terminals take U+009B for ESC [), Unicode's own line ends,
what overrides or embeds a direction of writing, and lone surrogates, which UTF-8 can't hold."""
_UNPRINTABLE: Final = re.compile(f"[{_ALWAYS}]")
_UNPRINTABLE_IN_LINE: Final = re.compile(f"[{_ALWAYS}\t\n]")
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """`text` with all control characters but newline and tab as their escapes."""
    return _UNPRINTABLE.sub(_escape, text)


def printable_line(text: str) -> str:
    """The same for what has to stay on one line, such as a cell of a table: newlines and tabs are
    escaped too."""
    return _UNPRINTABLE_IN_LINE.sub(_escape, text)


def is_printable(text: str) -> bool:
    """Whether `text` can be shown on one line as it is."""
    return _UNPRINTABLE_IN_LINE.search(text) is None


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"
