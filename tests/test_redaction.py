from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from windtunnel import config
from windtunnel.redaction import hidden, secrets_in

WANDB_KEY = "0123456789abcdef0123456789abcdef01234567"  # none that exists
HUB_TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"401 for https://me:{WANDB_KEY}@api.wandb.ai/x",
            "401 for https://<hidden>@api.wandb.ai/x",
        ),
        (f"bad token {HUB_TOKEN}.", "bad token <hidden>."),
        (
            "GET https://h.co/d?rev=main&token=abc123&x=1",
            "GET https://h.co/d?rev=main&token=<hidden>&x=1",
        ),
        ("a step of 3 tokens, tokenizer=bpe", "a step of 3 tokens, tokenizer=bpe"),
        ("mail me@example.org", "mail me@example.org"),
        (f"commit {WANDB_KEY}", f"commit {WANDB_KEY}"),
    ],
)
def test_what_looks_secret_is_hidden_and_nothing_else(text: str, said: str) -> None:
    assert hidden(text) == said


def test_what_the_environment_keeps_secret_is_hidden_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", WANDB_KEY)
    monkeypatch.setenv("SOME_TOKEN", "short")
    assert hidden(f"refused {WANDB_KEY}; short") == "refused <hidden>; short"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"logger": {"wandb": {"api_key": WANDB_KEY}}}, ["logger.wandb.api_key"]),
        ({"data": {"source": {"token": "x"}}}, ["data.source.token"]),
        ({"data": {"path": f"s3://key:{WANDB_KEY}@bucket"}}, ["data.path"]),
        ({"tags": ["a", HUB_TOKEN]}, ["tags"]),
        ({"data": {"token": None, "password": ""}, "budget": {"tokens": 3}}, []),
        ({"callbacks": {"averaging": {"every_tokens": 1}}, "tokenizer": {"kind": "bpe"}}, []),
    ],
)
def test_secrets_of_a_config_are_found(values: dict, found: list[str]) -> None:
    assert secrets_in(values) == found


@pytest.mark.parametrize(
    "override",
    [
        f"+logger.csv.api_key={WANDB_KEY}",
        f"name='https://me:{WANDB_KEY}@host/x'",
        f"+data.token={HUB_TOKEN}",
    ],
)
def test_a_config_with_a_secret_is_refused_without_showing_it(override: str) -> None:
    with pytest.raises(ValueError, match="expected nothing secret in the config") as error:
        config.compose("quickstart", [override])
    assert WANDB_KEY not in str(error.value)
    assert HUB_TOKEN not in str(error.value)


def test_nothing_of_ours_looks_secret() -> None:
    for path in [*config.CONF.rglob("*.yaml"), *config.RECIPES.glob("*/recipe.yaml")]:
        assert secrets_in(yaml.safe_load(path.read_text()) or {}) == [], path
    for path in config.RECIPES.glob("*/results.json"):
        assert secrets_in(json.loads(path.read_text())) == [], path
    schema = Path(config.__file__).with_name("record.schema.json")
    assert "properties" in json.loads(schema.read_text())
