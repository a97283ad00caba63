"""A hook of mkdocs: code in a table shows a bar as the forge does.

A bar inside a table is written ``\\|``, also in code. The forge shows ``|`` there, Python-Markdown the escape.
"""

from __future__ import annotations

import re

_CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
_CODE = re.compile(r"<code\b.*?</code>", re.DOTALL)


def on_page_content(html: str, **_: object) -> str:
    """The page without the escapes; mkdocs calls it by this name."""
    return _CELL.sub(lambda cell: _CODE.sub(lambda code: code[0].replace("\\|", "|"), cell[0]), html)
