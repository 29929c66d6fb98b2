"""Names for TensorFlow: it takes `*`, `?`, `[` and `\\` in a file's name for a pattern, and decodes only UTF-8.

A folder of such a name is given to it under another one: by a symbolic link in a temporary directory.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

PATTERN_CHARACTERS = set("*?[") if os.name == "nt" else set("*?[\\")       # on Windows the last one is the separator


@contextlib.contextmanager
def safe_dir(folder: Path) -> Iterator[Path]:
    """A folder's name for TensorFlow; valid as long as the context lasts."""
    if _is_safe(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory() as links:
        link = Path(links, "folder")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def _is_safe(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:       # bytes that are not UTF-8
        return False
    return PATTERN_CHARACTERS.isdisjoint(name)
