"""A short band: its points cost a fit each, and no test needs many."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def short_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel.studies.forecast.N_BAND", 3)
