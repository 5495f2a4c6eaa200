"""Reads every byte of token stores and checkpoints, and every record, and names what is damaged.

python scripts/check.py outputs ~/.cache/windtunnel
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from windtunnel.checkpoint import check
from windtunnel.data.store import damage
from windtunnel.interfaces import Record


def main() -> None:
    """Prints what is damaged in the folders; ends with 1 where anything is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="searched at any depth")
    folders = [folder.expanduser() for folder in parser.parse_args().folders]
    found = [problem for folder in folders for problem in problems(folder)]
    for problem in found:
        print(problem)
    print(f"{len(found)} damaged")
    sys.exit(bool(found))


def problems(folder: Path) -> Iterator[str]:
    """One line for each damaged thing in a folder, at any depth."""
    for path in sorted(folder.rglob("checkpoints/*.ckpt")):
        try:
            check(path)
        except ValueError as error:
            yield str(error)
    for path in sorted(folder.rglob("record.json")):
        try:
            Record.load(path.parent)
        except ValueError as error:
            yield str(error)
    for path in sorted(folder.rglob("stores/*")):
        names = damage(path) if path.is_dir() and path.suffix != ".part" else []
        if names:
            yield f"the token store {path} is damaged in {', '.join(names)}: remove it"


if __name__ == "__main__":
    main()
