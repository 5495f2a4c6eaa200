"""The law of two sizes at a point, and the split of a total that is best."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scaling.laws.cases import Case, at, grid
from windtunnel.scaling.laws.encoder_decoder import EncoderDecoder, best_split

CASE = Case(
    EncoderDecoder(),
    (6000.0, 0.2, 0.3, 1.5),
    grid(N_e=np.geomspace(1e6, 1e9, 5), N_d=np.geomspace(1e6, 1e9, 5)),
    {"N_e": 5e9, "N_d": 5e9},
)


def test_point() -> None:
    found = EncoderDecoder().predict(np.array([[1.0, 0.2, 0.3, 1.5]]), at(N_e=2, N_d=4))
    np.testing.assert_allclose(found, [[2.07435]], atol=5e-6)


def test_no_other_split_is_better() -> None:
    theta = np.array([CASE.truth])
    parameters = dict(zip(("a", "p_e", "p_d", "L_inf"), CASE.truth, strict=True))
    encoder, decoder = best_split(parameters, 1e8)
    np.testing.assert_allclose([encoder, decoder], [4e7, 6e7], rtol=1e-14)
    others = np.linspace(1e6, 9.9e7, 999)
    loss = EncoderDecoder().predict(theta, {"N_e": others, "N_d": 1e8 - others})
    best = EncoderDecoder().predict(theta, at(N_e=encoder, N_d=decoder))
    assert best <= loss.min()


def test_sizes_that_do_not_matter_have_no_best_split() -> None:
    with pytest.raises(ValueError, match="best_split: expected p_e or p_d above 0; got 0 and 0"):
        best_split({"p_e": 0.0, "p_d": 0.0}, 1e8)
