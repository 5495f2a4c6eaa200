from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from windtunnel import config


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
    assert config.register_recipes(rooms["recipes"]) == [
        "base",
        "child",
        "empty",
        "muon",
        "scaled",
    ]
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


def test_the_number_of_devices_leaves_the_digest_alone_and_that_of_one_as_it_was() -> None:
    trainer = {"precision": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    many = {**trainer, "devices": 8, "num_nodes": 2, "strategy": {"_target_": "a.Strategy"}}
    values = {"seed": 1, "trainer": trainer}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    expected = hashlib.sha256(text.encode()).hexdigest()[: config.DIGEST_LENGTH]
    for digest in (config.job_digest, config.study_digest):
        assert digest(values) == digest({"seed": 1, "trainer": many}) == expected
        assert digest({"seed": 1, "trainer": {**many, "precision": "x"}}) != expected


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


def test_a_bad_config_gives_no_folder_its_name(rooms: dict[str, Path]) -> None:
    cfg = config.compose("base", **rooms)
    OmegaConf.set_struct(cfg, False)
    cfg.hydra = {"dir": "${run_folder:}", "overrides": {"task": ["+recipe=base", "optim=muon"]}}
    with pytest.raises(OmegaConfBaseException, match=r"optim=muon: the recipe sets optim\.lr=0\.5"):
        _ = cfg.hydra.dir
    cfg.hydra.overrides.task, cfg.seed = [], -1
    with pytest.raises(OmegaConfBaseException, match="seed: expected a whole number"):
        _ = cfg.hydra.dir


# ---------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        (
            "Could not override 'optim.l'.\nTo append to your config use +optim.l=1",
            ["optim.l=1", "-m"],
            r"^optim.l: expected a key of the config, .*; optim has no key l; it has .*lr, scale",
        ),
        ("Could not override 'optm'.", ["optm=x", "seed=1,2"], r"^optm: .*did you mean optim\?$"),
        ("Could not override 'recipe'.", ["recipe=x"], r"^Could not override 'recipe'\.$"),
        ("Could not override 'optm'.", ["optm=x", "optim=none"], r"^Could not override 'optm'\.$"),
        ("anything else", ["optm=x"], "^anything else$"),
        (
            "Could not override 'study.old'.",
            ["study.old={a: 1}"],
            r"to replace it, give '~study\.old' '\+study\.old=\{a: 1\}'$",
        ),
    ],
)
def test_a_key_that_does_not_exist_is_answered_with_those_that_do(
    rooms: dict[str, Path], message: str, arguments: list[str], said: str
) -> None:
    answer = config.explained(ValueError(message), arguments, conf=rooms["conf"])
    assert re.search(said, answer)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+recipe=bse", "recipe: .*got bse; options are base, .*; did you mean base?"),
        ("optim=muno", "optim: .*got muno; options are adamw, muon; did you mean muon?"),
        ("optim/scale=hlf", "optim/scale: .*got hlf; options are half, unit; did you mean half?"),
    ],
)
def test_an_option_that_does_not_exist_is_answered_with_those_that_do(
    rooms: dict[str, Path], override: str, said: str
) -> None:
    with pytest.raises(MissingConfigException) as error:
        config.compose(None, [override], **rooms)
    answer = config.explained(error.value, [override], conf=rooms["conf"])
    assert re.fullmatch(said.replace("?", r"\?"), answer)


def test_a_recipe_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/recipe.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"broken/recipe\.yaml: expected YAML"):
        config.register_recipes(tmp_path)


def test_a_part_is_left_out_by_null() -> None:
    given = ["optim=muon", "averaging=null", "model/head=null", "study.delta=null", "+x=null"]
    expected = ["optim=muon", "~averaging", "~model/head", "study.delta=null", "+x=null"]
    assert config.leaving_out(given) == expected
    small = ["stability=zclip", "averaging=ema"]
    kept, left = config.compose(None, small), config.compose(None, [*small, "averaging=null"])
    assert set(kept.callbacks) - set(left.callbacks) == {"averaging"}
    assert "zclip" in left.callbacks
