from __future__ import annotations

import pytest

from tests.data.made import MadeSource, made_documents
from windtunnel.data.only_domains import OnlyDomains


def test_keeps_the_domains_named() -> None:
    inner = MadeSource(made_documents(9), vocab_size=None)
    source = OnlyDomains(source=inner, domains=["c", "a"])
    assert [d.domain for d in source.documents()] == ["a", "c"] * 3
    assert source.vocab_size is None
    assert source.facts() == {"made": True, "only": ["a", "c"]}
    identity = source.listing().identity
    assert identity == {"only": ["a", "c"], "of": inner.listing().identity}
    assert identity != OnlyDomains(source=inner, domains=["a"]).listing().identity


def test_a_domain_that_is_not_there_is_refused() -> None:
    source = OnlyDomains(source=MadeSource(made_documents()), domains=["a", "x"])
    with pytest.raises(ValueError, match="which has a, b, c; got x"):
        list(source.documents())
    with pytest.raises(ValueError, match="expected names of domains to keep, got none"):
        OnlyDomains(source=MadeSource([]), domains=[])
