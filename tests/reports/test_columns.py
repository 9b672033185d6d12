"""Curves: running sums, thinning that keeps peaks, and the order of mechanisms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sample_outcome

from fastgup_reports import columns


def test_level_has_one_point_a_time_with_all_changes_of_that_time() -> None:
    times, levels = columns.level(np.array([5, 1, 5, 9]), np.array([2, 1, -1, -2]))
    assert times.tolist() == [1, 5, 9]
    assert levels.tolist() == [1, 2, 0]


def test_thin_leaves_a_short_curve_alone() -> None:
    times, levels = np.arange(10), np.arange(10)
    assert columns.thin(times, levels)[0] is times


def test_thin_keeps_peaks_troughs_and_ends_at_their_times() -> None:
    levels = np.full(100_000, 50)
    levels[31_337], levels[77_777] = 1_000, 0
    times, kept = columns.thin(np.arange(100_000), levels, points_max=400)
    assert len(times) <= 401
    assert (np.diff(times) > 0).all()
    assert times[kept == 1_000].tolist() == [31_337]
    assert times[kept == 0].tolist() == [77_777]
    assert (times[0], times[-1]) == (0, 99_999)


def test_curve_spans_the_recording_from_zero() -> None:
    seconds, levels = columns.curve(np.array([2 * 10**9, 3 * 10**9]), np.array([4, -1]), 10**9, 5 * 10**9)
    assert seconds.tolist() == [0, 1, 2, 4]
    assert levels.tolist() == [0, 4, 3, 3]


def test_longest_keeps_the_longest_of_each_stretch() -> None:
    at = np.arange(10 * columns.POINTS_MAX)
    length = np.ones(len(at), np.int64)
    length[7_005] = 99
    keep = columns.longest(at, length)
    assert len(keep) <= columns.POINTS_MAX
    assert 7_005 in keep


def test_mechanism_codes_are_those_of_the_outcome_even_where_one_has_no_rows() -> None:
    outcome = sample_outcome.small()
    pieces = [pd.DataFrame({"mechanism": ["naive"], "n": [1]})]
    table = columns.frame(outcome, pieces, {"n": "int64"})
    assert list(table["mechanism"].cat.categories) == ["rfc-v2", "quiet", "naive"]
    assert table["mechanism"].cat.codes.tolist() == [2]


def test_same_curves_groups_mechanisms_with_equal_values() -> None:
    rows = pd.DataFrame({"mechanism": ["a", "a", "b", "b", "c", "c"], "x": [1, 2, 1, 2, 1, 3]})
    assert columns.same_curves(rows.astype({"mechanism": "category"}), ["x"]) == [["a", "b"]]


def test_span_comes_from_the_tables_where_the_provenance_has_none() -> None:
    outcome = sample_outcome.small()
    del outcome.summary["capture"]
    # The walks of the sample begin at 0 ns; the last batch is queued at 190 ms.
    assert columns.span_ns(outcome) == (0, 190 * sample_outcome.MS)


@pytest.mark.parametrize(
    "platform", [None, {}, {"nr_cpus": -1, "page_size": "4k"}, {"nr_cpus": 10**12, "page_size": 0}]
)
def test_a_platform_that_makes_no_sense_is_no_platform(platform: object) -> None:
    outcome = sample_outcome.small()
    outcome.summary["platform"] = platform
    assert (columns.nr_cpus(outcome), columns.page_size(outcome)) == (0, 4096)
