from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from tests.scorers.made import Sums
from windtunnel import scoring
from windtunnel.build import build_data, build_model
from windtunnel.checkpoint import load_weights, newest
from windtunnel.config import compose
from windtunnel.data import scores
from windtunnel.data.passages import Passages
from windtunnel.folder import result_line
from windtunnel.interfaces import Record
from windtunnel.loss.tokens import plain_nll
from windtunnel.run import prepare, run

SCHEMA = Path(scoring.__file__).with_name("record.schema.json")
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "at", "all"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains of made text, documents of 1 to 60 words."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = torch.Generator().manual_seed(0)
    for domain in ("prose", "verse"):
        (folder / domain).mkdir()
        texts = []
        for i in range(30):
            picks = torch.randint(0, len(WORDS), (2 * i + 1,), generator=generator).tolist()
            texts.append(" ".join(WORDS[i] for i in picks) + f" {i}")
        (folder / domain / "train.txt").write_text("\n<|endoftext|>\n".join(texts))
    return folder


def settings(corpus: Path, home: Path, *more: str) -> list[str]:
    return [
        "data=text",
        f"data.path={corpus}",
        "tokenizer=bytes",
        f"paths.outputs={home}",
        f"paths.cache={home}",
        "data.eval_tokens=500",
        "budget.tokens=3072",
        "batch.sequences=8",
        "batch.length=32",
        "model.width=16",
        "model.depth=1",
        "model.head_size=8",
        "schedule.warmup_tokens=512",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        *more,
    ]


@pytest.fixture(scope="module")
def home(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained job in `job`, which kept two earlier moments."""
    home = tmp_path_factory.mktemp("home")
    keep = ["callbacks=keep_checkpoints", "callbacks.keep.tokens=[1024,2048]"]
    run(compose(None, settings(corpus, home, *keep)), home / "job")
    return home


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `paths.cache` hold, so that columns do not meet those of other tests."""
    monkeypatch.delenv("WINDTUNNEL_CACHE")


def scored(corpus: Path, home: Path, folder: Path, *more: str) -> Record:
    loss = run(compose(None, settings(corpus, home, "task=score", *more)), folder)
    assert math.isnan(loss)
    return Record.load(folder)


def store_of(corpus: Path, home: Path) -> Any:
    data = build_data(compose(None, settings(corpus, home)))
    data.build(None)
    return data.store


def test_a_score_is_a_column_of_the_store_and_a_record(corpus, home, tmp_path) -> None:
    record = scored(corpus, home, tmp_path / "job", "scorer=length", "scorer.unit=bytes")
    store = store_of(corpus, home)
    passages = Passages(store)
    expected = [len(passage.text.encode()) for passage in passages]
    column = scores.read_column(store.folder, "length")
    assert column.values.tolist() == expected
    assert column.facts["job"] == record.job
    assert column.facts["settings"]["unit"] == "bytes"
    own = str(tmp_path / "job/scores/length.parquet")
    assert scores.read(store.folder, own).tolist() == expected
    assert (record.task, record.outcome, record.evaluation) == ("score", "finished", None)
    assert result_line(record) == "finished"
    measured = record.measurements["score"]
    assert measured["n_documents"] == len(passages)
    assert measured["n_tokens"] == sum(expected)
    found = measured["columns"]["length"]
    assert found["mean"] == pytest.approx(np.mean(expected))
    assert found["quantiles"]["0.5"] == pytest.approx(np.median(expected))
    prose = passages.documents.domains == 0
    assert found["domains"]["prose"] == pytest.approx(np.array(expected)[prose].mean())
    written = json.loads((tmp_path / "job/record.json").read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    assert json.loads((tmp_path / "job/progress.json").read_text())["stage"] == "score"
    assert not (tmp_path / "job/parts").exists()


def test_a_column_of_a_study_stays_in_its_jobs_folder(corpus, home, tmp_path) -> None:
    scored(corpus, home, tmp_path / "job", "scorer=symbols", "role=scores")
    store = store_of(corpus, home)
    assert "symbols" not in scores.names(store.folder)
    scores.read(store.folder, str(tmp_path / "job/scores/symbols.parquet"))


@pytest.mark.slow
def test_a_job_that_is_done_again_gives_the_same_column(corpus, home, tmp_path) -> None:
    own = ["scorer=uniform", "scorer.column=again"]
    for name in ("one", "two", "two"):
        scored(corpus, home, tmp_path / name, *own)
    with pytest.raises(ValueError, match=r"score again: expected a name .* differs in job, set"):
        scored(corpus, home, tmp_path / "three", *own, "scorer.seed=5")


def nats_by_hand(home: Path, cfg: Any, ids: np.ndarray) -> np.ndarray:
    """Losses of a document, window by window."""
    model, _ = build_model(cfg, 257)
    load_weights(model, newest(home / "job"), "objective.model.")
    found = []
    for first in range(0, len(ids) - 1, 32):
        window = torch.from_numpy(ids[first : first + 33].astype(np.int64))[None]
        with torch.no_grad():
            logits = model.head(model(window[:, :-1]))
        found.append(plain_nll(logits, window[:, 1:])[0].numpy())
    return np.concatenate(found)


def test_loss_is_that_of_the_trained_model(corpus, home, tmp_path) -> None:
    record = scored(corpus, home, tmp_path / "job", "scorer=loss", f"scorer.folder={home}/job")
    assert record.inputs == [Record.load(home / "job").job]
    store = store_of(corpus, home)
    values = scores.read(store.folder, "loss")
    cfg = compose(None, settings(corpus, home))
    for passage in list(Passages(store))[::7]:
        by_hand = nats_by_hand(home, cfg, passage.ids)
        assert values[passage.number] == pytest.approx(by_hand.mean(), abs=1e-5)


@pytest.mark.slow
def test_a_trajectory_ends_where_the_loss_is(corpus, home, tmp_path) -> None:
    folder = f"scorer.folder={home}/job"
    record = scored(corpus, home, tmp_path / "job", "scorer=trajectory", folder, "role=scores")
    files = record.measurements["score"]["files"]
    assert [Path(file).stem for file in files] == [f"trajectory_step{n}" for n in (4, 8, 12)]
    store = store_of(corpus, home)
    columns = [scores.read(store.folder, file) for file in files]
    means = [float(values.mean()) for values in columns]
    assert means[0] > means[1] > means[2]
    again = scored(corpus, home, tmp_path / "loss", "scorer=loss", folder, "role=scores")
    (file,) = again.measurements["score"]["files"]
    assert (scores.read(store.folder, file) == columns[2]).all()


@pytest.mark.slow
def test_a_model_has_no_difference_and_no_excess_over_itself(corpus, home, tmp_path) -> None:
    store = store_of(corpus, home)
    models = [f"scorer.{name}={home}/job" for name in ("small", "large")]
    scored(corpus, home, tmp_path / "one", "scorer=difference", *models, "scorer.precision=64-true")
    assert (scores.read(store.folder, "difference") == 0).all()
    models = [f"scorer.{name}={home}/job" for name in ("folder", "reference")]
    scored(corpus, home, tmp_path / "two", "scorer=excess", *models)
    assert (scores.read(store.folder, "excess", level="token") == 0).all()


@pytest.mark.slow
def test_a_training_by_scores_names_the_jobs_that_scored(corpus, home, tmp_path) -> None:
    from windtunnel.scoring import scored_by

    ids = [
        scored(corpus, home, tmp_path / name, f"scorer={name}", f"scorer.column=by_{name}").job
        for name in ("letters", "repetition")
    ]
    own = ["sampler=selection", "sampler.selection.score=by_letters"]
    order = ["sampler/order=sorted", "sampler.order.score=by_repetition"]
    for more, expected in ((own, ids[:1]), ([*own, *order], ids), ([], [])):
        cfg = compose(None, settings(corpus, home, *more))
        data = build_data(cfg)
        assert scored_by(cfg, data) == expected


def test_only_documents_in_bounds_are_scored(corpus, home, tmp_path) -> None:
    scored(corpus, home, tmp_path / "split", "scorer=uniform", "scorer.column=split")
    among = "scorer.among={score: split, at_least: 0.3, below: 0.8}"
    record = scored(corpus, home, tmp_path / "job", "scorer=letters", among)
    store = store_of(corpus, home)
    split, letters = (scores.read(store.folder, name) for name in ("split", "letters"))
    inside = (split >= 0.3) & (split < 0.8)
    assert ((letters > -np.inf) == inside).all()
    assert record.measurements["score"]["n_documents"] == inside.sum()
    assert record.measurements["score"]["n_left_out"] == (~inside).sum()
    assert math.isfinite(record.measurements["score"]["columns"]["letters"]["mean"])


def test_a_stopped_job_goes_on(corpus, home, tmp_path, monkeypatch) -> None:
    from windtunnel.scorers.text import Length
    from windtunnel.tasks import score as task

    monkeypatch.setattr(task, "PART_TOKENS", 500)
    inside, calls = Length.__call__, []

    def stopping(self: Length, passages: Any) -> Any:
        calls.append(len(passages))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return inside(self, passages)

    monkeypatch.setattr(Length, "__call__", stopping)
    own = ["scorer=length", "scorer.column=stopped"]
    with pytest.raises(KeyboardInterrupt):
        scored(corpus, home, tmp_path / "job", *own)
    assert not (tmp_path / "job/record.json").exists()
    scored(corpus, home, tmp_path / "job", *own)
    n_documents = len(Passages(store_of(corpus, home)))
    assert sum(calls) == n_documents + calls[3]  # the part that was cut short is scored twice


def test_progress_is_told_once_a_second_and_at_the_end(tmp_path, monkeypatch, capsys) -> None:
    now = iter([10.0, 10.2, 11.1, 11.2])
    monkeypatch.setattr(scoring.time, "monotonic", lambda: next(now))
    say = scoring.Telling(tmp_path, show=True)
    for done in (1, 2, 3, 4):
        say(done, 4)
    told = [line.strip() for line in capsys.readouterr().err.split("\r")]
    assert told == ["", *(f"score: {n}% of 4 tokens" for n in (25, 75, 100))]
    assert json.loads((tmp_path / "progress.json").read_text())["tokens"] == 4


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["task=score"], "scorer: expected a scorer for task=score, got none"),
        (["task=merge"], "task must be one of train, score, got merge"),
        (["scorer=length"], "task must be score where a scorer is given, got train"),
        (
            ["task=score", "scorer=loss", "scorer.folder=nowhere"],
            r"scorer\.folder must be the folder of a job that has trained, got nowhere",
        ),
        (
            ["task=score", "scorer=length", "scorer.among={score: no, at_least: 1, below: null}"],
            "score no: expected a column of the store",
        ),
        (["task=score", "scorer=length", "scorer.column=a/b"], r"score: expected a name .* 'a/b'"),
    ],
)
def test_bad_settings_are_said_before_any_work(corpus, home, tmp_path, more, message) -> None:
    with pytest.raises(ValueError, match=message):
        run(compose(None, settings(corpus, home, *more)), tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_a_scorer_with_another_tokenizer_is_refused(corpus, home) -> None:
    own = ["task=score", "scorer=loss", f"scorer.folder={home}/job"]
    other = ["tokenizer=bpe", "tokenizer.vocab_size=270"]
    with pytest.raises(ValueError, match="whose 257 token ids mean something else than the 270 he"):
        prepare(compose(None, [*settings(corpus, home, *own), *other]))


def test_a_trajectory_needs_several_checkpoints(corpus, home, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scoring, "by_step", lambda folder: {4: folder})
    own = ["scorer=trajectory", f"scorer.folder={home}/job"]
    with pytest.raises(ValueError, match=r"kept its checkpoints of several moments, got .* has 1:"):
        scored(corpus, home, tmp_path / "job", *own)


def test_what_a_scorer_cannot_score_is_no_column(corpus, home, tmp_path, monkeypatch) -> None:
    nan = Sums(length=32, scale=math.nan)
    monkeypatch.setattr(scoring, "_frozen", lambda *_: nan)
    own = ["scorer=loss", f"scorer.folder={home}/job", "scorer.column=broken"]
    with pytest.raises(ValueError, match=r"score broken: .* got none for document 0 \(nan\), 1"):
        scored(corpus, home, tmp_path / "job", *own)
    assert not (tmp_path / "job/record.json").exists()
