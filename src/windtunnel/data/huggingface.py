"""A dataset of the library `datasets`: on the Hugging Face hub, or local files, streaming or not.

Remote code never runs: this version of `datasets` loads data files only. A dataset on the hub is
known by name and revision, and its store is reused as long as these stay; local files are known by
name, size and time.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from windtunnel.data.source import Document, Listing, stat_rows


class HuggingFace:
    """Reads one text column of one split.

    name: a dataset on the hub, a local folder, or a format (`parquet`, `json`) with `files`.
    domain_column: the column that names a document's domain; null for one domain. n_documents:
    how many to read at most; null for all.
    """

    vocab_size = None

    def __init__(
        self,
        *,
        name: str,
        config: str | None,
        split: str,
        column: str,
        domain_column: str | None,
        files: str | list[str] | None,
        revision: str | None,
        streaming: bool,
        n_documents: int | None,
    ) -> None:
        self._settings = {
            "name": name,
            "config": config,
            "split": split,
            "column": column,
            "domain_column": domain_column,
            "files": files if files is None or isinstance(files, str) else list(files),
            "revision": revision,
            "n_documents": n_documents,
        }
        self._streaming = streaming

    def listing(self) -> Listing:
        """Lists local files; a dataset on the hub is known by its settings."""
        rows = stat_rows(self._local_files(), Path("/"))
        identity = {"source": "huggingface", "found": rows, **self._settings}
        return Listing(identity, 0)

    def documents(self) -> Iterator[Document]:
        """Reads the rows once."""
        columns = self._settings["column"], self._settings["domain_column"]
        for row in islice(self._load(), self._settings["n_documents"]):
            for column in filter(None, columns):
                if column not in row:
                    raise ValueError(
                        f"data.column, data.domain_column: expected one of {sorted(row)}, got "
                        f"{column!r}; choose one of them"
                    )
            text = row[columns[0]]
            if not isinstance(text, str):
                raise ValueError(
                    f"data.column: expected text in column {columns[0]!r}, got "
                    f"{type(text).__name__}; choose a column of text"
                )
            domain = str(row[columns[1]]) if columns[1] else Path(self._settings["name"]).name
            if text.strip():
                yield Document(domain, text, hashlib.blake2b(text.encode()).hexdigest())

    def facts(self) -> dict[str, Any]:
        """The settings."""
        return {k: v for k, v in self._settings.items() if v is not None}

    def _local_files(self) -> list[Path]:
        """Files that the settings name on this machine; none where they name a dataset."""
        patterns = self._settings["files"]
        if patterns is None:
            folder = Path(self._settings["name"])
            return (
                [f.absolute() for f in folder.rglob("*") if f.is_file()] if folder.is_dir() else []
            )
        found: list[Path] = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if "://" in pattern:
                continue
            files = [Path(name).absolute() for name in _match(pattern)]
            if not files:
                raise ValueError(
                    f"data.files: expected files that match {pattern!r}, got none; check the path"
                )
            found += files
        return found

    def _load(self) -> Iterable[dict[str, Any]]:
        import datasets  # slow to import, and most runs do not need it
        from datasets.exceptions import DatasetsError

        try:
            return datasets.load_dataset(
                self._settings["name"],
                self._settings["config"],
                split=self._settings["split"],
                data_files=self._settings["files"],
                revision=self._settings["revision"],
                streaming=self._streaming,
            )
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
            raise ValueError(
                f"data.name: the dataset {self._settings['name']!r}, config "
                f"{self._settings['config']!r}, split {self._settings['split']!r} cannot be loaded "
                f"({error}); check the names, data.files and the network"
            ) from error


def _match(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob: no absolute ones)
