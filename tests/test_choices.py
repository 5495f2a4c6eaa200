from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from windtunnel import choices

AUTO = {
    "accelerator": "cpu", "precision": "auto", "compile": "auto", "threads": "auto", "devices": 1,
}  # fmt: skip


def test_every_choice_has_a_reason() -> None:
    made = choices.choose(AUTO, 10_000_000)
    for name in ("accelerator", "precision", "compile", "threads"):
        assert made[f"{name}_reason"]
    assert made["threads"] == torch.get_num_threads()


def test_what_is_configured_is_kept() -> None:
    given = {"accelerator": "cpu", "precision": "32-true", "compile": False, "threads": 3}
    made = choices.choose(AUTO | given, 10_000_000)
    assert {k: made[k] for k in given} == given
    assert made["precision_reason"] == "as configured"


def test_bf16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "has_native_bf16", lambda: True)
    assert choices.choose_precision("auto", "cpu")[0] == "bf16-mixed"
    monkeypatch.setattr(choices, "has_native_bf16", lambda: False)
    assert choices.choose_precision("auto", "cpu")[0] == "32-true"


def test_compiling_needs_a_compiler_and_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "has_compiler", lambda: True)
    assert choices.choose_compile("auto", "cpu", 10_000_000)[0]
    assert not choices.choose_compile("auto", "cpu", 1000)[0]
    monkeypatch.setattr(choices, "has_compiler", lambda: False)
    assert choices.choose_compile("auto", "cpu", 10_000_000) == (False, "no C++ compiler was found")


@pytest.mark.parametrize("given", [True, False])
def test_compiling_as_configured(given: bool) -> None:
    assert choices.choose_compile(given, "cpu", 1000) == (given, "as configured")


@pytest.mark.parametrize("given", ["off", "no", 1, None])
def test_a_setting_of_compile_that_is_no_switch_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"trainer\.compile must be auto, true or false"):
        choices.choose_compile(given, "cpu", 1000)


def test_a_missing_accelerator_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"trainer\.accelerator must be one that this machine has"):
        choices.choose_accelerator("gpu")


def test_a_compiler_that_fails_leaves_an_eager_module_and_says_so() -> None:
    module = nn.Linear(2, 2)
    before = module(torch.ones(1, 2))
    made: dict[str, Any] = {"compile": True}

    def trial() -> None:
        raise RuntimeError("no such instruction")

    with pytest.warns(UserWarning, match="torch.compile is left out"):
        choices.compile_or_fall_back(module, made, trial)
    assert made["compile"] is False
    assert "no such instruction" in made["compile_reason"]
    assert torch.equal(module(torch.ones(1, 2)), before)
    assert module._compiled_call_impl is None


@pytest.mark.parametrize(
    ("setting", "devices", "launched", "expected"),
    [("auto", 2, False, 4), ("auto", 3, False, 2), ("auto", 9, False, 1), (5, 2, False, 5),
     ("auto", 2, True, 8), ("auto", "auto", False, 8)],
)  # fmt: skip
def test_the_processes_of_a_job_share_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    setting: int | str,
    devices: int | str,
    launched: bool,
    expected: int,
) -> None:
    """A launcher that sets the variable has shared them already."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    if launched:
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert choices.choose_threads(setting, "cpu", devices)[0] == expected
    assert choices.choose_threads(setting, "cuda", devices)[0] in (8, 5)
