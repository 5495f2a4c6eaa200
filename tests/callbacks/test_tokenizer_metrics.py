"""What is measured is tried in `tests/data/test_tokenizer_metrics.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.callbacks.tiny import make_facts
from windtunnel.callbacks.tokenizer_metrics import TokenizerMetrics


def test_leaves_what_is_measured_in_the_store(tmp_path: Path) -> None:
    callback = TokenizerMetrics(make_facts(tmp_path), measure=lambda store: {"of": store})
    trainer: Any = SimpleNamespace(datamodule=SimpleNamespace(store="the store"))
    module: Any = None
    assert callback.measurements == {}
    callback.on_train_end(trainer, module)
    assert callback.measurements == {"tokenizer": {"of": "the store"}}
