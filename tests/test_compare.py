"""Two tests are compared pair by pair."""

import math

import pytest

from galdse_brain.compare import compare, compare_table
from galdse_brain.results import Results


def write(path, scores, signal="enhanced"):
    """A results.csv of utterances to scores."""
    rows = [{"id": k, "signal": signal, **v} for k, v in scores.items()]
    Results(rows).write_csv(path)
    return path


@pytest.fixture
def first(tmp_path):
    """Three utterances that differ a lot."""
    pesq = {"p_1": 1.0, "p_2": 2.0, "p_3": 3.0}
    scores = {k: {"pesq": v, "si_sdr": 10 * v} for k, v in pesq.items()}
    return write(tmp_path / "a.csv", scores)


def test_an_equal_gain_everywhere_has_an_interval_of_no_width(first, tmp_path):
    better = {f"p_{i}": {"pesq": i + 0.5, "si_sdr": 9.0 * i} for i in (3, 1, 2)}
    rows = compare(first, write(tmp_path / "b.csv", better))
    pesq, si_sdr = rows
    assert pesq == {
        "metric": "pesq",
        "first": 2.0,
        "second": 2.5,
        "difference": 0.5,
        "low": 0.5,
        "high": 0.5,
        "better": 1.0,
        "n": 3,
        "of": 3,
    }
    assert si_sdr["difference"] == pytest.approx(-2)
    assert si_sdr["low"] < -2 < si_sdr["high"] and si_sdr["better"] == 0
    table = compare_table(rows)
    cells = ["PESQ-WB", "2.000", "2.500", "+0.500", "[0.500, 0.500]", "100%"]
    for cell in cells:
        assert cell in table.splitlines()[2]
    assert "**Warning**: PESQ rises" in table


def test_a_test_is_equal_to_itself(first):
    for row in compare(first, first):
        assert row["difference"] == row["low"] == row["high"] == 0


def test_only_pairs_of_two_scores_count(first, tmp_path):
    scores = {"p_1": 5.0, "p_2": math.nan, "p_3": math.inf}
    second = {name: {"pesq": value} for name, value in scores.items()}
    (row,) = compare(first, write(tmp_path / "b.csv", second))
    assert row["n"] == 1 and row["difference"] == 4.0 and row["first"] == 1.0
    assert "1 of 3" in compare_table([row])


def test_the_nearer_to_0_is_better_where_0_is_right(tmp_path):
    scores = {"a": (-2.0, 1.0, 0.5, 3.0), "b": (1.0, 2.0, -0.25, -3.0)}
    files = [
        write(tmp_path / f"{name}.csv", {i: {"level": v} for i, v in pairs})
        for name, pairs in ((k, enumerate(v)) for k, v in scores.items())
    ]
    (row,) = rows = compare(*files)
    assert row["better"] == 0.5  # The first, and the third.
    assert row["first"] == 0.625 and row["second"] == -0.0625
    assert row["difference"] == row["second"] - row["first"]
    (back,) = compare(*files[::-1])
    assert back["better"] == 0.25  # The last two are equally far away.
    text = compare_table(rows)
    assert "| level, dB |" in text and "0 is right for level" in text


def test_no_word_about_0_where_higher_is_better(first):
    assert "0 is right" not in compare_table(compare(first, first))


def test_what_cannot_be_compared_is_an_error(first, tmp_path):
    other = {f"p_{i}": {"stoi": 1.0} for i in (1, 2, 3)}
    with pytest.raises(ValueError, match="a.csv and .* no metric in common"):
        compare(first, write(tmp_path / "b.csv", other))
    lines = first.read_text()
    first.write_text(lines + lines.splitlines()[1] + "\n")
    with pytest.raises(ValueError, match="a.csv has 2 rows of 'p_1 enhanced'"):
        compare(first, first)


def test_utterances_and_signals_of_only_one_test_are_errors(first, tmp_path):
    fewer = write(tmp_path / "b.csv", {"p_1": {"pesq": 1.0}})
    for pair in ((first, fewer), (fewer, first)):
        with pytest.raises(ValueError, match=r"b.csv lacks 'p_2' \(2 such"):
            compare(*pair)
    noisy = write(tmp_path / "c.csv", {"p_1": {"pesq": 1.0}}, signal="noisy")
    with pytest.raises(ValueError, match="c.csv has .'noisy'., no 'enhanced'"):
        compare(first, noisy)
