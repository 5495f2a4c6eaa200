from __future__ import annotations

from windtunnel.scaling.suggest import nearest


def test_names_that_hold_the_word_come_first_then_those_like_it() -> None:
    names = ["metric/pile_cc_val", "metric/github_val", "metric/arxiv_val"]
    assert nearest("pile_cc", names).startswith("the nearest are metric/pile_cc_val")
    assert nearest("metric/gihub_val", names).startswith("the nearest are metric/github_val")


def test_where_nothing_is_like_it_all_are_named() -> None:
    assert nearest("zzz", ["a", "b"]) == "there are a, b"
    assert nearest("", ["a", "b"]) == "there are a, b"
    assert nearest("zzz", []) == "there are none"
