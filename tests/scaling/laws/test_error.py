"""Gadre's law of the downstream error: its two ends, and how fast it falls between them."""

from __future__ import annotations

import numpy as np

from tests.scaling.laws.cases import Case, at
from windtunnel.scaling.laws.error import Error

# Fitted to the RedPajama models of Gadre et al. 2024, arXiv 2403.08540: epsilon, k, gamma
REDPAJAMA = (0.7572, 2.126, 1.066)

CASE = Case(Error(), REDPAJAMA, {"L": np.linspace(2.2, 5.5, 20)}, {"L": 1.9})


def test_a_model_that_knows_nothing_guesses() -> None:
    found = Error().predict(np.array([REDPAJAMA]), at(L=100.0))
    np.testing.assert_allclose(found, [[0.7572]], rtol=1e-12)


def test_each_log_two_over_gamma_doubles_what_is_gained() -> None:
    near, far = (
        Error().predict(np.array([REDPAJAMA]), at(L=loss)) for loss in (3 - np.log(2) / 1.066, 3.0)
    )
    np.testing.assert_allclose(0.7572 - near, 2 * (0.7572 - far), rtol=1e-12)
