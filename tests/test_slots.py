from __future__ import annotations

from typing import Any

import pytest

from windtunnel import slots
from windtunnel.config import compose, plain


class Whole:
    """Fits every slot."""

    def __call__(self) -> None: ...
    def roles(self) -> None: ...
    def named_parameters(self) -> None: ...
    def plan(self) -> None: ...
    def propose(self) -> None: ...
    def conclude(self) -> None: ...


class Empty:
    """Fits none."""


def nested(path: str, target: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"_target_": target}
    for key in reversed(path.split(".")):
        values = {key: values}
    return values


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("model", f"{__name__}.Whole"),
        ("loss", f"{__name__}.Whole"),
        ("schedule", f"{__name__}.Whole"),
        ("study", f"{__name__}.Whole"),
        ("schedule", "windtunnel.optim.schedule.linear"),
        ("optim.build", "torch.optim.AdamW"),
        ("optim.build", "windtunnel.optim.adafactor.adafactor"),
        ("model.norm", "torch.nn.LayerNorm"),
        ("callbacks.mine", "lightning.pytorch.callbacks.Timer"),
        ("logger.mine", "lightning.pytorch.loggers.CSVLogger"),
        ("trainer.strategy", "lightning.pytorch.strategies.DDPStrategy"),
    ],
)
def test_what_fits_its_slot_passes(path: str, target: str) -> None:
    slots.check(nested(path, target))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("loss", "os.system"),
        ("schedule", "math.sqrt"),
        ("model.norm", "subprocess.Popen"),
        ("callbacks.mine", "builtins.exec"),
        ("callbacks.mine", "pathlib.Path"),
        ("trainer.strategy", "torch.nn.Linear"),
        ("callbacks.mine", f"{__name__}.Empty"),
        ("model", f"{__name__}.Empty"),
        ("model", "torch.nn.Linear"),
        ("loss", f"{__name__}.Empty"),
        ("loss", "windtunnel.folder.shutil.rmtree"),
        ("loss", "windtunnel.run.run"),
        ("schedule", "windtunnel.files.write_whole"),
        ("study", "torch.optim.AdamW"),
        ("optim.build", "torch.nn.Linear"),
        ("a.b", "no_such_module.Part"),
        ("a.b", 3),
        ("a.b", None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(path: str, target: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{path}\._target_: expected .*got {target}"):
        slots.check(nested(path, target))


def test_lists_are_looked_into() -> None:
    with pytest.raises(ValueError, match=r"^a\[1\]\._target_: "):
        slots.check({"a": [{}, {"_target_": "os.system"}]})


def test_every_target_of_the_defaults_fits() -> None:
    values = plain(compose())
    assert len(list(slots.targets(values))) > 10
    slots.check(values)


@pytest.mark.parametrize("target", ["torch.optim.AdamW", "os.system", "windtunnelx.Part", 3])
def test_a_config_that_is_read_back_builds_only_what_is_ours(target: Any) -> None:
    with pytest.raises(ValueError, match=r"model\.norm\._target_: expected parts of windtunnel in"):
        slots.check_read_back(nested("model.norm", target))
    slots.check_read_back(plain(compose())["model"])


def test_what_is_read_back_may_not_do_work_either() -> None:
    with pytest.raises(ValueError, match=r"model\._target_: expected a part"):
        slots.check_read_back(nested("model", "windtunnel.files.write_whole"))
