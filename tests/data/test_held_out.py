from __future__ import annotations

from windtunnel.data.held_out import choose_windows, share_evenly


def test_shares_evenly_and_gives_on_what_is_missing() -> None:
    assert share_evenly([100, 100, 100], 90) == [30, 30, 30]
    assert share_evenly([10, 100, 100], 90) == [10, 40, 40]
    assert share_evenly([0, 10, 20], 90) == [0, 10, 20]


def test_takes_whole_windows_at_even_distances() -> None:
    domains, starts = choose_windows([1001, 1001], 400, 50)
    assert domains.tolist() == [0] * 4 + [1] * 4
    assert starts.tolist() == [0, 250, 500, 750] * 2


def test_takes_all_of_a_small_domain_with_its_last_part() -> None:
    domains, starts = choose_windows([131, 1, 0, 1001], 1000, 50)
    assert starts[domains == 0].tolist() == [0, 50, 100]
    assert not set(domains.tolist()) & {1, 2}
    assert len(starts[domains == 3]) == 870 // 50


def test_every_domain_has_a_window_even_if_few_tokens_are_wanted() -> None:
    domains, _ = choose_windows([1000, 1000, 1000], 10, 50)
    assert domains.tolist() == [0, 1, 2]
