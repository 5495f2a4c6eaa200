from __future__ import annotations

import dataclasses
import math

import pytest

from tests.made import made_record
from tests.studies.mixed import TOKENS, trained
from windtunnel.interfaces import Job
from windtunnel.studies import mixtures


def job(**sampler: object) -> Job:
    own = sampler or mixtures.tempered(1.0)
    return mixtures.job("a", "fit", width=16, tokens=1000, seed=3, sampler=own)


def test_a_job_has_its_size_its_seed_twice_and_its_sampler() -> None:
    assert job().overrides == {
        "model.width": 16, "budget.tokens": 1000, "seed": 3, "batch.seed": 3,
        "sampler": "temperature", "sampler.mixture.alpha": 1.0,
    }  # fmt: skip
    assert job().cost == 16_000


def test_domains_without_weight_are_left_out() -> None:
    weights = {"docs_en": 0.6, "docs-fr": 0.4, "docs_ru": 0.0}
    assert mixtures.fixed(weights) == {
        "sampler": "mixture", "sampler.mixture.weights": {"docs_en": 0.6, "docs-fr": 0.4}
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Größe", "1999", "a,b", "null", "two words", ""])
def test_names_that_no_override_can_hold_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"data: a study of mixtures expects domains .*rename"):
        mixtures.fixed({name: 1.0})


def test_the_target_is_a_domain_or_the_mean_of_all() -> None:
    record = trained(job(), lambda weights, width: dict(zip(TOKENS, (1.0, 2, 3, 6), strict=True)))
    assert mixtures.target_loss(record, "mean") == pytest.approx(3)
    assert mixtures.target_loss(record, "wiki") == 6
    assert mixtures.target_loss(None, "wiki") is None
    assert mixtures.target_loss(made_record(job(), None), "wiki") is None
    assert mixtures.mean_domains([record, None, record])["talk"] == 3
    assert mixtures.mean_domains([None]) == {}
    mixtures.check_target("talk", record)
    with pytest.raises(ValueError, match=r"study\.target: .* got 'wik'; the nearest are wiki"):
        mixtures.check_target("wik", record)


def test_shares_and_epochs() -> None:
    record = trained(job(), lambda weights, width: dict.fromkeys(TOKENS, 1.0))
    data = {"domains": record.data["domains"] | {"empty": {"train_tokens": 0}}}
    tokens = mixtures.domain_tokens(dataclasses.replace(record, data=data))
    assert tokens == TOKENS
    shares = mixtures.shares(tokens)
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert shares["wiki"] == pytest.approx(0.05)
    epochs = mixtures.epochs({"wiki": 0.5, "code": 0.5}, tokens, 200_000)
    assert epochs == {"code": 0.2, "news": 0.0, "talk": 0.0, "wiki": 2.0}
