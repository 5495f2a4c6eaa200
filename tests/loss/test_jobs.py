"""Every option of the loss trains two steps of a whole job; a teacher comes from one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from windtunnel.build import load_model, loaded_jobs
from windtunnel.checkpoint import checkpoint_path, read
from windtunnel.config import CONF, compose
from windtunnel.interfaces import Record
from windtunnel.run import prepare, run

OPTIONS = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
WITH_TEACHER = {"kl_distillation", "plackett_luce"}
WITH_REFERENCE = {"selective"}
ELSEWHERE = {"code_cross_entropy"}  # needs a head of its own


def settings(home: Path, *more: str) -> list[str]:
    return [
        "data=synthetic",
        "tokenizer=ids",
        "data.vocab_size=13",
        "data.train_tokens=2000",
        "data.held_out_tokens=201",
        "data.eval_tokens=200",
        f"paths.outputs={home}",
        "budget.tokens=64",
        "batch.sequences=4",
        "batch.length=8",
        "model.width=8",
        "model.depth=1",
        "model.head_size=4",
        "optim.lr=0.001",
        "schedule.warmup_tokens=0",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        "trainer.log_every_n_steps=1",
        *more,
    ]


def trained(folder: Path, *more: str) -> Record:
    run(compose(None, settings(folder.parent, *more)), folder)
    return Record.load(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "job"
    trained(folder, "callbacks=calibration")
    return folder


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in ELSEWHERE])
def test_two_steps(option: str, teacher: Path, tmp_path: Path) -> None:
    loads = option in WITH_TEACHER | WITH_REFERENCE
    more = [f"loss.teacher.folder={teacher}"] if loads else []
    record = trained(tmp_path / "job", f"loss={option}", *more)
    assert record.outcome == "finished"
    assert record.steps == 2
    assert record.evaluation is not None
    assert abs(record.evaluation.loss_nats - math.log(13)) < 0.5
    assert all(map(math.isfinite, record.train_curve.values))
    assert record.inputs == ([Record.load(teacher).job] if more else [])


def test_a_teacher_stays_as_it_was_and_out_of_the_students_checkpoint(
    teacher: Path, tmp_path: Path
) -> None:
    plain = trained(tmp_path / "plain")
    before = read(checkpoint_path(teacher))["state_dict"]
    student = trained(
        tmp_path / "student", "loss=kl_distillation", f"loss.teacher.folder={teacher}"
    )
    states = [read(checkpoint_path(tmp_path / name)) for name in ("plain", "student")]
    assert list(states[0]["state_dict"]) == list(states[1]["state_dict"])
    assert student.parameters == plain.parameters
    sizes = [len(state["optimizer_states"][0]["state"]) for state in states]
    assert sizes[0] == sizes[1] > 0
    weights = {
        f"objective.model.{name}": own
        for name, own in load_model(folder=str(teacher)).state_dict().items()
    }
    assert list(weights) == list(before)
    assert all(torch.equal(own, before[name]) for name, own in weights.items())


@pytest.mark.parametrize("option", sorted(WITH_TEACHER))
def test_the_teacher_itself_has_nothing_left_to_learn_from_itself(
    option: str, teacher: Path, tmp_path: Path
) -> None:
    """The divergence from a model of the same weights is 0, and the ranking's is at its least."""
    cfg = compose(None, settings(tmp_path, f"loss={option}", f"loss.teacher.folder={teacher}"))
    from windtunnel.build import build_data, make

    data = build_data(cfg)
    data.build(None)
    model = load_model(folder=str(teacher))
    batch = next(iter(data.val_dataloader()))
    hidden = model(batch.tokens_BT, batch.documents_BT)
    output = make(cfg.loss)(hidden, model.head, batch)
    slope = torch.autograd.grad(output.loss, model.head.weight)[0]
    if option == "kl_distillation":
        assert output.loss.abs() < 1e-6
        assert slope.abs().max() < 1e-6
    else:
        assert output.loss > 0


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["data.vocab_size=17"], r"tokenizer of this one.*whose 13 token ids.*than the 17 here"),
        (["batch.length=16"], r"batch\.length is at least 16, got .* with 8: shorten"),
    ],
)
def test_a_teacher_that_cannot_read_the_batches_is_refused(
    teacher: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    own = ["loss=kl_distillation", f"loss.teacher.folder={teacher}", *more]
    with pytest.raises(ValueError, match=rf"loss\.teacher\.folder must be a job.*{said}"):
        run(compose(None, settings(tmp_path, *own)), tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    own = ["loss=plackett_luce", f"loss.teacher.folder={tmp_path}/none"]
    with pytest.raises(ValueError, match=r"got .*/none, which has no record\.json: give outputs"):
        run(compose(None, settings(tmp_path, *own)), tmp_path / "job")


def test_a_teacher_that_is_not_named_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give loss\.teacher\.folder=VALUE"):
        compose(None, settings(tmp_path, "loss=kl_distillation"))


def test_a_bad_setting_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss\.gamma must not be below 0, got -1"):
        prepare(compose(None, settings(tmp_path, "loss=focal", "loss.gamma=-1")))


def test_a_loss_without_a_teacher_starts_from_no_job(tmp_path: Path) -> None:
    cfg = compose(None, settings(tmp_path, "loss=cross_entropy_z"))
    _, data = prepare(cfg)
    assert loaded_jobs(cfg, data) == []


# -------------------------------------------------------------------------------------- calibration


def test_calibration_is_that_of_the_trained_model(teacher: Path, tmp_path: Path) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    from windtunnel.build import build_data

    found = Record.load(teacher).measurements["calibration"]
    data = build_data(compose(None, settings(tmp_path)))
    data.build(None)
    model = load_model(folder=str(teacher)).eval()
    logits, targets = [], []
    for batch in data.val_dataloader():
        with torch.no_grad():
            logits.append(model.head(model(batch.tokens_BT, batch.documents_BT)).flatten(0, 1))
        targets.append(batch.targets_BT.flatten())
    every, right = torch.cat(logits), torch.cat(targets)
    assert found["n_tokens"] == (right >= 0).sum() == 200
    expected = multiclass_calibration_error(
        every, right, num_classes=13, n_bins=15, norm="l1", ignore_index=-100
    )
    assert found["ece"] == pytest.approx(expected.item(), abs=1e-6)
    scored = right >= 0
    accuracy = (every.argmax(-1) == right)[scored].float().mean().item()
    assert found["accuracy"] == pytest.approx(accuracy)
