from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from windtunnel import config

TREE = {
    "conf/train.yaml": """
        defaults: [_self_, {optim: adamw}, {data: stdlib}, {study: null}]
        name: train
        seed: 1
        role: ""
        budget: {tokens: 100, evaluations: 1}
        paths: {outputs: outputs}
        logger: null
        fresh: false
        study: null
        trainer: {precision: auto, threads: auto}
    """,
    "conf/optim/adamw.yaml": """
        defaults: [{scale: unit}, _self_]
        _target_: builtins.dict
        lr: 0.1
        eps: 1e-8
    """,
    "conf/optim/scale/unit.yaml": "{size: 1}",
    "conf/optim/scale/half.yaml": "{size: 2}",
    "conf/optim/muon.yaml": "{_target_: builtins.dict, lr: 0.2}",
    "conf/data/stdlib.yaml": "{held_out: 0.1}",
    "conf/data/text.yaml": "path: '???'\nheld_out: 0.1\ncopy: ${.path}",
    "conf/study/ladder.yaml": "{_target_: builtins.dict, seeds: 1}",
    "recipes/base/recipe.yaml": "{optim: {lr: 0.5}, seed: 7}",
    "recipes/child/recipe.yaml": "{defaults: [base, _self_], budget: {tokens: 300}}",
    "recipes/scaled/recipe.yaml": "{optim: {scale: {size: 5}}}",
    "recipes/muon/recipe.yaml": "{defaults: [{override /optim: muon}], optim: {lr: 0.3}}",
}


@pytest.fixture
def rooms(tmp_path: Path) -> dict[str, Path]:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"conf": tmp_path / "conf", "recipes": tmp_path / "recipes"}


@pytest.fixture(autouse=True)
def store():
    """Gives back the real recipes after each test."""
    repo = ConfigStore.instance().repo
    before = repo.pop("recipe", None)
    yield
    repo.pop("recipe", None)
    if before is not None:
        repo["recipe"] = before


# ---------------------------------------------------------------------------------------- recipes


def test_recipes_are_options_by_the_name_of_their_folder(rooms: dict[str, Path]) -> None:
    assert config.register_recipes(rooms["recipes"]) == ["base", "child", "muon", "scaled"]
    cfg = config.compose("base", **rooms)
    assert (cfg.name, cfg.optim.lr, cfg.seed) == ("base", 0.5, 7)


def test_a_recipe_builds_on_another(rooms: dict[str, Path]) -> None:
    cfg = config.compose("child", ["optim.eps=1"], **rooms)
    assert (cfg.name, cfg.optim.lr, cfg.budget.tokens, cfg.optim.eps) == ("child", 0.5, 300, 1)


def test_recipes_combine_and_the_later_wins(rooms: dict[str, Path]) -> None:
    cfg = config.compose(None, ["+recipe=[base,muon]"], **rooms)
    assert (cfg.name, cfg.optim.lr, cfg.seed) == ("muon", 0.3, 7)


def test_a_misspelt_recipe_is_answered_with_those_there_are(rooms: dict[str, Path]) -> None:
    with pytest.raises(MissingConfigException, match=r"(?s)recipe/bse.*base.*child.*muon"):
        config.compose("bse", **rooms)


def test_without_recipe_the_defaults_are_composed(rooms: dict[str, Path]) -> None:
    assert config.compose(**rooms).name == "train"


# ----------------------------------------------------------------------------------------- guards


@pytest.mark.parametrize(
    ("recipe", "overrides", "said"),
    [
        (None, ["+recip=base"], r"^recip: .*sections are .*recipe"),
        (None, ["+optim/foo=x"], r"^optim/foo: "),
        (None, ["+budget.tokes=3"], r"^budget.tokes: .*did you mean tokens"),
        (None, ["+data.helt_out=3"], r"^data.helt_out: .*did you mean held_out"),
        (None, ["data=text"], r"^data.path: .*give data.path=VALUE"),
        ("base", ["optim=muon"], r"^optim=muon: the recipe sets optim.lr=0.5"),
        ("child", ["optim=muon"], r"^optim=muon: the recipe sets optim.lr=0.5"),
        ("scaled", ["optim/scale=half"], r"^optim.scale=half: the recipe sets optim.scale.size=5"),
        ("muon", ["optim=adamw"], r"^optim=adamw: the recipe sets optim.lr=0.3"),
        (None, ["+recipe=[child,muon]", "optim=adamw"], r"optim.lr=0.3"),
        (None, ["seed=-1"], r"^seed: "),
    ],
)
def test_what_would_run_something_else_is_refused(
    rooms: dict[str, Path], recipe: str | None, overrides: list[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        config.compose(recipe, overrides, **rooms)


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        (None, ["optim=muon"]),
        ("base", ["optim=adamw"]),
        ("base", ["optim=muon", "optim.lr=0.4"]),
        ("muon", ["optim=muon"]),
        ("scaled", ["optim/scale=unit"]),
        ("base", ["optim/scale=half"]),
        ("base", ["data=text", "data.path=x"]),
    ],
)
def test_a_fair_choice_passes(
    rooms: dict[str, Path], recipe: str | None, overrides: list[str]
) -> None:
    assert config.compose(recipe, overrides, **rooms).seed >= 1


# ---------------------------------------------------------------------------------------- digests


def test_volatile_keys_leave_the_digest_alone(rooms: dict[str, Path]) -> None:
    cfg = config.compose("base", **rooms)
    digest = config.job_digest(cfg)
    assert len(digest) == config.DIGEST_LENGTH
    same = ["paths.outputs=x", "fresh=true", "role=rung", "trainer.threads=3", "study=ladder"]
    assert config.job_digest(config.compose("base", same, **rooms)) == digest
    for other in ("seed=2", "optim.lr=0.7", "trainer.precision=32", "name=x"):
        assert config.job_digest(config.compose("base", [other], **rooms)) != digest


def test_the_digest_is_that_of_the_json_beside_the_record(rooms: dict[str, Path]) -> None:
    cfg = config.compose("base", ["data=text", "data.path=x", "optim.eps=1e-9"], **rooms)
    written = json.loads(json.dumps(config.plain(cfg)))
    assert config.job_digest(written) == config.job_digest(cfg)
    assert written["data"]["copy"] == "x"


def test_a_study_is_named_by_its_settings_too(rooms: dict[str, Path]) -> None:
    one = config.compose("base", ["study=ladder"], **rooms)
    two = config.compose("base", ["study=ladder", "study.seeds=2"], **rooms)
    assert config.job_digest(one) == config.job_digest(two)
    assert config.study_digest(one) != config.study_digest(two)


def test_the_digest_does_not_depend_on_hydra_or_on_the_order_of_keys() -> None:
    values: dict[str, Any] = {"seed": 1, "optim": {"lr": 0.1, "eps": 1.0}, "hydra": {"x": 1}}
    turned = {"optim": {"eps": 1.0, "lr": 0.1}, "seed": 1}
    assert config.job_digest(values) == config.job_digest(OmegaConf.create(turned))


def test_a_value_that_refers_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a: .*'none' not found; give it a value$"):
        config.plain(OmegaConf.create({"a": "${none}"}))


# ---------------------------------------------------------------------------------------- folders


def test_fresh_gives_another_folder(tmp_path: Path) -> None:
    assert config.fresh_name(tmp_path, "abc", False) == "abc"
    assert config.fresh_name(tmp_path, "abc", "again") == "abc-again"
    assert config.fresh_name(tmp_path, "abc", True) == "abc-2"
    (tmp_path / "abc-2").mkdir()
    assert config.fresh_name(tmp_path, "abc", True) == "abc-3"
    assert config.fresh_name(tmp_path, "abc", 2) == "abc-2"


def test_the_resolver_names_a_jobs_folder(rooms: dict[str, Path]) -> None:
    cfg = config.compose("base", **rooms)
    expected = config.job_digest(cfg)
    OmegaConf.set_struct(cfg, False)
    cfg.hydra = {"dir": "out/${run_folder:}"}
    assert cfg.hydra.dir == f"out/{expected}"


# ------------------------------------------------------------------------------------------ hints


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        ("Could not override 'optim.l'.", ["optim.l=1", "-m"], "optim has no key l; it has"),
        ("Could not override 'optm'.", ["optm=x", "seed=1,2"], "did you mean optim?"),
        ("Could not override 'recipe'.", ["recipe=x"], ""),
        ("Could not override 'optm'.", ["optm=x", "optim=none"], ""),
        ("anything else", ["optm=x"], ""),
    ],
)
def test_a_hint_names_what_exists(
    rooms: dict[str, Path], message: str, arguments: list[str], said: str
) -> None:
    hint = config.hint(ValueError(message), arguments, conf=rooms["conf"])
    assert said in hint
    assert bool(hint) == bool(said)


def test_a_recipe_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/recipe.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"broken/recipe\.yaml: expected YAML"):
        config.register_recipes(tmp_path)
