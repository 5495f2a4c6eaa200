"""Compose, name and check the configuration of a job.

A job's id is the digest of its resolved configuration without the keys that cannot change what it
learns; a study's is the same with `study` kept. Folders are named by these digests, so the same
command finds the same folder again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from windtunnel import catalogue, guards, slots

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
RECIPES = ROOT / "recipes"
VERSION_BASE = "1.3"

VOLATILE = (
    "paths",
    "logger",
    "fresh",
    "study",
    "hydra",
    "role",
    "trainer.progress",
    "trainer.threads",
    "trainer.workers",
    "trainer.checkpoint_seconds",
)
# On how many devices a job trains changes it no more than its number of threads does. In its id
# they stand as the usual ones.
USUAL_DEVICES = {"trainer.devices": 1, "trainer.num_nodes": 1, "trainer.strategy": "auto"}
DIGEST_LENGTH = 12


# --------------------------------------------------------------------------------------- compose


def register_recipes(recipes: Path = RECIPES) -> list[str]:
    """Stores every `recipes/NAME/recipe.yaml` as option NAME of group `recipe`; returns the names.

    The recipe's values go to the root of the config; its `name` is its folder's.

    Raises:
        ValueError: a recipe is not YAML.
    """
    from hydra.core.config_store import ConfigStore

    names = []
    for path in sorted(recipes.glob("*/recipe.yaml")):
        name = path.parent.name
        try:
            node: Any = OmegaConf.load(path)
        except YAMLError as error:
            raise ValueError(f"{path}: expected YAML, got an error: {error}; correct it") from error
        node["name"] = name
        ConfigStore.instance().store(group="recipe", name=name, node=node, package="_global_")
        names.append(name)
    return names


def register_resolvers(conf: Path = CONF, recipes: Path = RECIPES) -> None:
    """Registers `${run_folder:}`, the name of a job's folder, given once its config is checked.

    Hydra asks for it before it writes anything, so a job that is refused leaves nothing.
    """

    def name(*, _root_: DictConfig) -> str:
        given = OmegaConf.select(_root_, "hydra.overrides.task") or ()
        check(_root_, given, conf=conf, recipes=recipes)
        return run_folder(_root_)

    OmegaConf.register_new_resolver("run_folder", name, replace=True, use_cache=False)


def leaving_out(arguments: Sequence[str], conf: Path = CONF) -> list[str]:
    """`GROUP=null` as Hydra's `~GROUP`: it knows no other way to leave a part out."""
    found = []
    for argument in arguments:
        group, _, value = argument.partition("=")
        is_group = value == "null" and any((conf / group).glob("*.yaml"))
        found.append(f"~{group}" if is_group else argument)
    return found


def compose(
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    *,
    conf: Path = CONF,
    recipes: Path = RECIPES,
) -> DictConfig:
    """Composes and checks the config that a command line would give, for notebooks and tests."""
    import hydra

    register_recipes(recipes)
    register_resolvers(conf, recipes)
    given = [*([f"+recipe={recipe}"] if recipe else []), *leaving_out(overrides, conf)]
    with hydra.initialize_config_dir(str(conf.resolve()), version_base=VERSION_BASE):
        cfg = hydra.compose("train", overrides=given)
    check(cfg, given, conf=conf, recipes=recipes)
    return cfg


# ----------------------------------------------------------------------------------------- names


def plain(cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The resolved config as plain Python, without Hydra's own section.

    Raises:
        ValueError: a value is missing, or refers to one that does not exist.
    """
    if not isinstance(cfg, DictConfig):
        return {key: value for key, value in cfg.items() if key != "hydra"}
    body = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    raw: dict[str, Any] = OmegaConf.to_container(body, resolve=False)  # type: ignore[assignment]
    missing = sorted(key for key, value in guards.leaves(raw) if value == "???")
    if missing:
        raise ValueError(
            f"{', '.join(missing)}: expected a value, got none; "
            f"give {' '.join(f'{key}=VALUE' for key in missing)}"
        )
    try:
        return OmegaConf.to_container(body, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"{error.full_key or 'config'}: {said}; give it a value") from error


def job_digest(cfg: DictConfig | Mapping[str, Any]) -> str:
    """The id of a job: equal for configs that train the same thing."""
    return _digest(guards.without(on_usual_devices(plain(cfg)), VOLATILE))


def study_digest(cfg: DictConfig | Mapping[str, Any]) -> str:
    """The id of a study: the job's, with the study's own settings."""
    kept = [key for key in VOLATILE if key != "study"]
    return _digest(guards.without(on_usual_devices(plain(cfg)), kept))


def on_usual_devices(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same job, on one device."""
    there = {
        key: usual for key, usual in USUAL_DEVICES.items() if not guards.what_exists(values, key)
    }
    return guards.replaced(values, there)


def run_folder(cfg: DictConfig) -> str:
    """The name of a single job's folder within `outputs/NAME`."""
    home = Path(str(cfg.paths.outputs)).expanduser() / str(cfg.name)
    return fresh_name(home, job_digest(cfg), cfg.fresh)


def fresh_name(home: Path, digest: str, fresh: bool | str | int) -> str:
    """The digest; with `fresh` a suffix: the one given, or the first number not in use."""
    if fresh is False:
        return digest
    if fresh is not True:
        return f"{digest}-{fresh}"
    number = 2
    while (home / f"{digest}-{number}").exists():
        number += 1
    return f"{digest}-{number}"


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


# ----------------------------------------------------------------------------------------- check


def check(
    cfg: DictConfig,
    overrides: Iterable[str] = (),
    *,
    conf: Path = CONF,
    recipes: Path = RECIPES,
) -> None:
    """Refuses, before anything is built, a config that would run something else than was meant.

    Args:
        cfg: the composed config.
        overrides: the command line that gave it; without it swapped groups are not seen.
        conf: the folder of the YAML groups.
        recipes: the folder of the recipes.

    Raises:
        ValueError: an unknown section or key, a bad size, or a value pinned for another part.
    """
    guards.check_swaps(*swaps_and_pins(cfg, overrides, conf, recipes))
    check_values(plain(cfg), conf)


def check_values(values: Mapping[str, Any], conf: Path = CONF) -> None:
    """Checks resolved values as `check` does.

    Raises:
        ValueError: an unknown section or key, or a bad size.
    """
    guards.check_secrets(values)
    guards.check_sections(values, catalogue.known_keys(conf))
    guards.check_sizes(values)
    guards.check_targets(values)
    slots.check(values)


def explained(error: BaseException, arguments: Iterable[str], *, conf: Path = CONF) -> str:
    """What an error says, with what exists in place of an option or key that does not."""
    import hydra
    from hydra.errors import HydraException, MissingConfigException

    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = guards.listing(option, error.options)
        return f"{group}: expected one of its options, got {option}; options are {options}"
    found = re.match(r"(?:In '[^']*': )?Could not override '([^']+)'", str(error))
    if found is None or found[1] == "recipe":
        return str(error)
    wrong = found[1]
    for word in arguments:
        key, _, value = word.partition("=")
        left_out = word.removesuffix("=null").removeprefix("~")
        if left_out != word and wrong.startswith(f"{left_out}/"):
            return (
                f"{word}: the recipe chooses {wrong}, which would have no place; choose another "
                f"{left_out}"
            )
        if key == wrong and value.startswith("{"):
            return (
                f"{word}: a mapping on the command line is laid over the one in the config, and "
                f"cannot bring new keys; to replace it, give '~{key}' '+{key}={value}'"
            )
    rest = [word for word in arguments if "=" in word and not word.startswith("-")]
    rest = [word for word in rest if _parse(word)[0] != wrong and _parse(word)[1] is not None]
    try:
        with hydra.initialize_config_dir(str(conf.resolve()), version_base=VERSION_BASE):
            cfg = hydra.compose("train", overrides=rest)
    except HydraException:
        return str(error)
    exists = guards.what_exists(OmegaConf.to_container(cfg), wrong)
    return f"{wrong}: expected a key of the config, got an unknown one; {exists}"


def swaps_and_pins(
    cfg: DictConfig, overrides: Iterable[str], conf: Path = CONF, recipes: Path = RECIPES
) -> tuple[dict[str, str], dict[str, Any], set[str]]:
    """What `guards.check_swaps` compares: options chosen by hand, the recipe's values, keys given.

    An option counts as chosen by hand where it differs from the one the recipe takes itself.
    """
    given = [_parse(override) for override in overrides]
    names = [name for key, value in given if key == "recipe" for name in _as_list(value)]
    pins: dict[str, Any] = {}
    own: dict[str, str] = {}
    for name in names:
        values, choices = catalogue.recipe_values(str(name), recipes)
        guards.merge(pins, values)
        own.update(choices)
    usual = catalogue.default_options(own, conf)
    swaps = {
        key.replace("/", "."): str(value)
        for key, value in given
        if key != "recipe"
        and "." not in key
        and isinstance(value, str)
        and isinstance(OmegaConf.select(cfg, key.replace("/", ".")), DictConfig)
        and usual.get(key) != value
    }
    return swaps, pins, {key for key, _ in given}


def _parse(override: str) -> tuple[str, Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override)
    value = None if parsed.is_sweep_override() else parsed.value()
    return parsed.key_or_group, value


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
