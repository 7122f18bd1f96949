"""Which calls were begun before, by their keys: so that one made again after a crash looks for what the first has left.

The apps take no key of ours with an event or a reminder. So each key is put down, safe from a power cut, before the call is made;
a call whose key is there already has its script look first whether there is such a thing. In `.tinyagent/macos-calls` of the
data folder, a key a line.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.tools.desktop import store

FILE = Path(".tinyagent") / "macos-calls"  # below the data folder


def begun_before(data_dir: Path, key: str) -> bool:
    """Return whether the call of that key was begun before, and put down that it is begun now; "" is no key.

    Raises:
        Unavailable: The data folder cannot be written to.
    """
    if not key:
        return False
    path = data_dir / FILE
    with store.locked(data_dir), store.refusals(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and key in path.read_text("utf-8").split("\n"):
            return True
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
    return False
