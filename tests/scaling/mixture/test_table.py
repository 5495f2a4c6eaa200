from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from windtunnel.scaling.mixture.table import Mixtures, read_mixtures, same_domains

WEIGHTS = "index,wiki,code,news\n1,0.2,0.3,0.5\n2,0,1,0\n3,0.6,0.4,0\n"
LOSSES = "index,loss/wiki_val,loss/code_val\n1,3.5,2.5\n2,4.5,1.5\n3,3.0,2.0\n"


def read(folder: Path, weights: str, losses: str, target: str = "loss/wiki_val") -> Mixtures:
    (folder / "w.csv").write_text(weights)
    (folder / "l.csv").write_text(losses)
    return read_mixtures(folder / "w.csv", folder / "l.csv", target)


def test_rows_belong_together_by_place_or_by_index(tmp_path: Path) -> None:
    found = read(tmp_path, WEIGHTS, LOSSES)
    assert found.domains == ("wiki", "code", "news")
    assert found.weights_MS.tolist() == [[0.2, 0.3, 0.5], [0, 1, 0], [0.6, 0.4, 0]]
    assert found.loss_M.tolist() == [3.5, 4.5, 3.0]
    turned = "index,loss/wiki_val\n3,3.0\n1,3.5\n2,4.5\n"
    assert read(tmp_path, WEIGHTS, turned).loss_M.tolist() == [3.5, 4.5, 3.0]
    without = turned.replace("index,", "").replace("\n3,", "\n").replace("\n1,", "\n")
    without = without.replace("\n2,", "\n")
    assert read(tmp_path, WEIGHTS, without).loss_M.tolist() == [3.0, 3.5, 4.5]


def test_weights_rounded_to_digits_pass(tmp_path: Path) -> None:
    found = read(tmp_path, WEIGHTS.replace("0.6,0.4,0", "0.333,0.333,0.333"), LOSSES)
    assert found.weights_MS[2].sum() == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("weights", "losses", "words"),
    [
        ("index,wiki\n1,1\n", LOSSES, r"w\.csv: .* two domains or more; got wiki"),
        ("index\n1\n", LOSSES, r"w\.csv: .* two domains or more; got none"),
        (WEIGHTS.replace("0.2", "nan"), LOSSES, r"w\.csv: column wiki: .* line 2 \('nan'\)"),
        (WEIGHTS.replace("0.2", "some"), LOSSES, r"column wiki: .* line 2 \('some'\).*index"),
        (WEIGHTS.replace("0.2,0.3", "-0.2,0.7"), LOSSES, r"below 0 in line 2 \(-0\.2\)"),
        (WEIGHTS.replace("0.2", "0.4"), LOSSES, r"sum to 1 in each row, got line 2 \(1\.2\)"),
        (WEIGHTS, LOSSES.replace("3.5", "inf"), r"l\.csv: column loss/wiki_val: .* line 2"),
        (WEIGHTS, LOSSES[:-10], r"l\.csv: expected 3 rows, as .*w\.csv has; got 2"),
        (WEIGHTS, LOSSES.replace("\n3,", "\n4,"), r"same index values.* one table alone: 3, 4"),
        (
            WEIGHTS.replace("\n3,", "\n2,"),
            LOSSES.replace("\n3,", "\n2,"),
            r"same index values.* more than once: 2",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, weights: str, losses: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(tmp_path, weights, losses)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("loss/wiki_vall", r"target: .*got 'loss/wiki_vall'; the nearest are loss/wiki_val"),
        ("code", r"the nearest are loss/code_val"),
        ("zzz", r"got 'zzz'; there are loss/wiki_val, loss/code_val"),
    ],
)
def test_an_unknown_target_is_answered_with_the_nearest(
    tmp_path: Path, target: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read(tmp_path, WEIGHTS, LOSSES, target)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: expected a CSV file"):
        read_mixtures(tmp_path / "none.csv", tmp_path / "none.csv", "loss")


def test_test_mixtures_take_the_order_of_the_fitted(tmp_path: Path) -> None:
    fitted = Mixtures(("a", "b"), np.array([[0.2, 0.8]]), np.array([1.0]))
    turned = Mixtures(("b", "a"), np.array([[0.8, 0.2]]), np.array([2.0]))
    found = same_domains(fitted, turned)
    assert found.domains == ("a", "b")
    assert found.weights_MS.tolist() == [[0.2, 0.8]]
    other = Mixtures(("b", "c"), np.array([[0.8, 0.2]]), np.array([2.0]))
    with pytest.raises(ValueError, match=r"test: .* lack a and have besides c"):
        same_domains(fitted, other)
