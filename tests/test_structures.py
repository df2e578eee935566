import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from odise_cli.structures import LabelRuns, Labels, Region, places_of_ids


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]),
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.integers(0, 2),
    )
)
def test_a_map_comes_back_from_its_runs(map_HW):
    runs = LabelRuns.of_map(map_HW)
    assert (runs.values[1:] != runs.values[:-1]).all()
    found = runs.to_map()
    assert found.dtype == map_HW.dtype
    np.testing.assert_array_equal(found, map_HW)


def test_runs_by_hand_go_on_in_the_next_row():
    runs = LabelRuns.of_map(np.array([[7, 7, 9], [9, 7, 7]]))
    assert runs.starts.tolist() == [0, 2, 4]
    assert runs.values.tolist() == [7, 9, 7]
    assert runs.lengths.tolist() == [2, 2, 2]
    assert Labels(semantic=runs).size == (2, 3)


@given(
    hnp.arrays(
        np.int32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.sampled_from([0, 1, 256, 257, 65_536, 2**24 - 1]),
    )
)
def test_numbers_of_three_bytes_are_those_of_their_map(map_HW):
    bytes_HW3 = np.stack([map_HW & 255, map_HW >> 8 & 255, map_HW >> 16], axis=2).astype(np.uint8)
    found, expected = LabelRuns.of_bytes(bytes_HW3), LabelRuns.of_map(map_HW)
    assert found.values.tolist() == expected.values.tolist()
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.size == expected.size


def test_a_map_that_is_not_contiguous():
    map_HW = np.array([[1, 2], [1, 3]]).T
    np.testing.assert_array_equal(LabelRuns.of_map(map_HW).to_map(), [[1, 1], [2, 3]])


@pytest.mark.parametrize("ids", [[], [5], [300, 2, 70_000]])
def test_places_are_those_in_the_list(ids):
    regions = [Region(id=id_, category=0) for id_ in ids]
    asked = np.array([0, *reversed(ids)], np.int32)
    assert places_of_ids(asked, regions).tolist() == [0, *range(len(ids), 0, -1)]


@pytest.mark.parametrize("ids", [[256], [1, 257], [65_537, 2, 1]])
def test_places_of_ids_with_equal_lowest_bytes(ids):
    regions = [Region(id=id_, category=0) for id_ in ids]
    asked = np.array([0, *reversed(ids)], np.int32)
    assert places_of_ids(asked, regions).tolist() == [0, *range(len(ids), 0, -1)]


def test_a_change_is_found_wherever_it_is():
    # Eight words of eight bytes are looked at together: on both sides of every such border.
    for place in range(1, 200):
        map_HW = (np.arange(200) >= place).astype(np.uint8)[None]
        assert LabelRuns.of_map(map_HW).starts.tolist() == [0, place]


def test_an_id_of_no_region_is_no_mistake_here():
    regions = [Region(id=5, category=0)]
    assert set(places_of_ids(np.array([1, 9], np.int32), regions).tolist()) <= {0, 1}
