from __future__ import annotations

from typing import Any

import pytest

from windtunnel import guards


class Part:
    def __init__(self, *, width: int, depth: int) -> None: ...


def open_part(**kwargs: Any) -> None: ...


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"here.Part": Part, "here.open_part": open_part}

    def resolve(name: str) -> Any:
        if name not in known:
            raise ImportError(f"no module {name}")
        return known[name]

    monkeypatch.setattr(guards.pkgutil, "resolve_name", resolve)


def test_without_drops_whole_sections_and_dotted_keys_and_leaves_the_original() -> None:
    values = {"paths": {"a": 1}, "trainer": {"threads": 2, "precision": "32"}, "seed": 1}
    kept = guards.without(values, ["paths", "trainer.threads", "trainer.none", "none.key"])
    assert kept == {"trainer": {"precision": "32"}, "seed": 1}
    assert values["trainer"] == {"threads": 2, "precision": "32"}


def test_merge_lets_the_later_value_win() -> None:
    into: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3}
    guards.merge(into, {"a": {"b": 4}, "d": {"e": 5}})
    assert into == {"a": {"b": 4, "c": 2}, "d": {"e": 5}}


def test_replaced_changes_dotted_keys_of_a_copy() -> None:
    values = {"model": {"width": 1, "depth": 2}, "seed": 1}
    changed = guards.replaced(values, {"model.width": 3, "model.depth": 4, "seed": None})
    assert changed == {"model": {"width": 3, "depth": 4}, "seed": None}
    assert values == {"model": {"width": 1, "depth": 2}, "seed": 1}


def test_replaced_refuses_a_key_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"^model.widht: .*did you mean width"):
        guards.replaced({"model": {"width": 1}}, {"model.widht": 3})


@pytest.mark.parametrize(
    ("key", "value", "chooses"),
    [
        ("optim", "muon", True),
        ("model/head", "tied", True),
        ("name", "x", False),
        ("seed", 1, False),
    ],
)
def test_an_option_is_told_from_a_value(key: str, value: Any, chooses: bool) -> None:
    values = {"optim": {"lr": 1}, "model": {"head": {"cap": 1}}, "name": "a", "seed": 2}
    assert guards.chooses_part(values, key, value) == chooses


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("modle.width", "the config has no key modle; it has model, seed; did you mean model?"),
        ("model.widht", "model has no key widht; it has depth, width; did you mean width?"),
        ("seed.x", "seed is a value and has no keys"),
        ("model.width", ""),
    ],
)
def test_what_exists_names_the_keys_at_the_place(key: str, said: str) -> None:
    assert guards.what_exists({"model": {"width": 1, "depth": 2}, "seed": 1}, key) == said


KNOWN = {"seed": None, "budget": {"tokens", "evaluations"}, "model": None, "callbacks": {"record"}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"recip": "x"}, r"^recip: .*sections are budget, callbacks, model, recipe, seed; did you"),
        ({"budgett": {}}, "did you mean budget"),
        ({"budget": {"tokes": 3}}, r"^budget.tokes: .*keys are evaluations, tokens; did you mean"),
        ({"callbacks": {"mine": {"x": 1}}}, r"^callbacks.mine"),
    ],
)
def test_an_unknown_section_or_key_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        guards.check_sections(values, KNOWN)


def test_known_keys_and_parts_under_a_name_of_their_own_pass() -> None:
    values = {
        "seed": 1,
        "budget": {"tokens": 1},
        "model": {"anything": 1},
        "callbacks": {"mine": {"_target_": "here.Part"}},
    }
    guards.check_sections(values, KNOWN)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"model": {"_target_": "here.Part", "widht": 1}},
            r"^model.widht: here.Part takes no such setting; it takes depth, width; did you mean",
        ),
        ({"a": {"b": [{"_target_": "here.Part", "x": 1}]}}, r"^a.b\[0\].x: "),
        ({"a": {"_target_": "here.open_part", "b": {"_target_": "here.no"}}}, r"^a.b._target_: "),
    ],
)
def test_a_key_that_no_constructor_takes_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        guards.check_targets(values)


def test_keys_that_a_constructor_takes_pass() -> None:
    part = {"_target_": "here.Part", "_partial_": True, "width": 1}
    guards.check_targets({"a": part, "b": {"_target_": "here.open_part", "any": part}})


PINS = {"optim": {"lr": 0.1, "betas": [0.9, 0.95]}, "model": {"head": {"cap": 30}}, "seed": 3}


@pytest.mark.parametrize(
    ("swaps", "given", "said"),
    [
        ({"optim": "muon"}, set(), r"^optim=muon: .*optim.lr=0.1, optim.betas=\[0.9, 0.95\]"),
        ({"optim": "muon"}, {"optim.lr"}, r"the recipe sets optim.betas"),
        ({"model.head": "tied"}, set(), r"^model.head=tied: .*model.head.cap=30"),
    ],
)
def test_values_pinned_for_another_part_are_refused(
    swaps: dict[str, str], given: set[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        guards.check_swaps(swaps, PINS, given)


def test_a_swap_passes_where_nothing_pinned_is_left() -> None:
    guards.check_swaps({"optim": "muon"}, PINS, {"optim.lr", "optim.betas"})
    guards.check_swaps({"loss": "z"}, PINS, set())
    evaluated = {"data": {"eval_tokens": 50, "held_out": 0.1}}
    guards.check_swaps({"data": "text"}, evaluated, set())
    with pytest.raises(ValueError, match=r"the recipe sets data\.shares=0\.5 for another data"):
        guards.check_swaps({"data": "text"}, {"data": {**evaluated["data"], "shares": 0.5}}, set())
    guards.check_swaps({}, PINS, set())


SIZES: dict[str, Any] = {
    "seed": 1,
    "budget": {"tokens": 4096, "evaluations": 1},
    "batch": {"sequences": 16, "length": 256, "accumulate": 2},
    "model": {"width": 64, "head_size": 16, "depth": 2},
    "trainer": {"devices": 1, "num_nodes": 1},
}


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("model", "width", 60, r"^model.width: expected a multiple of model.head_size=16, got 60"),
        ("batch", "accumulate", 3, r"^batch.sequences: expected a multiple of batch.accumulate=3"),
        ("budget", "tokens", 4095, r"^budget.tokens: expected at least one batch of 4096 tokens"),
        ("trainer", "devices", 3, r"^batch.sequences: .*batch.accumulate x devices = 2 x 3"),
        ("budget", "evaluations", 0, r"^budget.evaluations: .*at least 1, got 0"),
        ("batch", "length", 2.5, r"^batch.length: expected a whole number"),
        ("model", "width", True, r"^model.width: expected a whole number"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(section: str, key: str, value: Any, said: str) -> None:
    values = {**SIZES, section: {**SIZES[section], key: value}}
    with pytest.raises(ValueError, match=said):
        guards.check_sizes(values)


def test_sizes_that_fit_pass() -> None:
    guards.check_sizes(SIZES)
    guards.check_sizes({**SIZES, "trainer": {"devices": "auto"}})
    guards.check_sizes({"seed": 0})
