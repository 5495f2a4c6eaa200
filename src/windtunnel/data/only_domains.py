"""Some domains of another source, and no text of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from windtunnel.data.source import Document, Listing, Source


class OnlyDomains:
    """Reads `source` and keeps the documents of `domains`."""

    def __init__(self, *, source: Source, domains: Sequence[str]) -> None:
        if not domains:
            raise ValueError(
                "data.source.domains: expected names of domains to keep, got none; name one"
            )
        self._source, self._domains = source, sorted(domains)

    @property
    def vocab_size(self) -> int | None:
        """That of the source."""
        return self._source.vocab_size

    def listing(self) -> Listing:
        """What the source would read, and which domains are kept."""
        identity, n_bytes = self._source.listing()
        return Listing({"only": self._domains, "of": identity}, n_bytes)

    def documents(self) -> Iterator[Document]:
        """Reads everything and gives what is kept."""
        seen: set[str] = set()
        for document in self._source.documents():
            seen.add(document.domain)
            if document.domain in self._domains:
                yield document
        unknown = sorted(set(self._domains) - seen)
        if unknown:
            raise ValueError(
                f"data.source.domains: expected domains of the source, which has "
                f"{', '.join(sorted(seen))}; got {', '.join(unknown)}; correct the names"
            )

    def facts(self) -> dict[str, Any]:
        """Those of the source, and which domains are kept."""
        return {**self._source.facts(), "only": self._domains}
