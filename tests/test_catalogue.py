from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel import catalogue


def test_recipes_claim_in_their_first_line(tmp_path: Path) -> None:
    for name, text in (("a", "# Claim: it works.\nseed: 1"), ("b", "# other\n"), ("c", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(text)
    assert catalogue.claims(tmp_path) == {"a": "it works.", "b": "other", "c": ""}


def test_options_are_the_files_of_every_group(rooms: dict[str, Path]) -> None:
    assert catalogue.options(rooms["conf"]) == {
        "data": ["stdlib", "text"],
        "optim": ["adamw", "muon"],
        "optim/scale": ["half", "unit"],
        "study": ["ladder"],
    }


def test_known_keys_come_from_the_yaml_files(rooms: dict[str, Path]) -> None:
    known = catalogue.known_keys(rooms["conf"])
    assert known["optim"] is None
    assert known["data"] == {"path", "held_out", "copy"}
    assert known["budget"] == {"tokens", "evaluations"}
    assert known["study"] is None
    assert "defaults" not in known


@pytest.mark.parametrize(
    ("recipe", "values", "choices"),
    [
        ("base", {"optim": {"lr": 0.5}, "seed": 7}, {}),
        ("child", {"optim": {"lr": 0.5}, "seed": 8, "budget": {"tokens": 300}}, {}),
        ("muon", {"optim": {"lr": 0.3}}, {"optim": "muon"}),
        ("empty", {}, {}),
        ("none", {}, {}),
    ],
)
def test_a_recipe_pins_its_own_values_and_those_it_builds_on(
    rooms: dict[str, Path], recipe: str, values: dict, choices: dict
) -> None:
    assert catalogue.recipe_values(recipe, rooms["recipes"]) == (values, choices)


@pytest.mark.parametrize(
    ("chosen", "optim", "scale"),
    [
        ({}, "adamw", "unit"),
        ({"optim": "muon"}, "muon", "half"),
        ({"optim/scale": "half"}, "adamw", "half"),
    ],
)
def test_options_follow_the_defaults_and_the_recipe(
    rooms: dict[str, Path], chosen: dict[str, str], optim: str, scale: str
) -> None:
    options = catalogue.default_options(chosen, rooms["conf"])
    assert options == {"optim": optim, "optim/scale": scale, "data": "stdlib"}


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "r/recipe.yaml"
    path.parent.mkdir()
    for seed in (1, 2):
        path.unlink(missing_ok=True)
        path.write_text(f"{{seed: {seed}, pad: {'x' * seed}}}")
        values, _ = catalogue.recipe_values("r", tmp_path)
        assert values["seed"] == seed
        values["seed"] = 9
