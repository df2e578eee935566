from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from odise_cli.evaluation.pixel_pairs import count_pixel_pairs
from tests.evaluation.scenes import as_runs

maps = hnp.arrays(np.int32, (5, 7), elements=st.sampled_from([0, 1, 2, 255, 65_535, 2**31 - 1]))


@given(first=maps, second=maps)
def test_pairs_are_those_of_a_count_pixel_by_pixel(first, second):
    pairs = count_pixel_pairs(*as_runs((first, second)))
    counted = dict(
        zip(
            zip(pairs.first.tolist(), pairs.second.tolist(), strict=True),
            pairs.counts.tolist(),
            strict=True,
        )
    )
    assert counted == Counter(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    assert list(counted) == sorted(counted)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_the_kind_of_integer_does_not_matter(dtype):
    first = np.array([[0, 200], [200, 200]], dtype)
    pairs = count_pixel_pairs(*as_runs((first, first[::-1])))
    assert pairs.first.tolist() == [0, 200, 200]
    assert pairs.second.tolist() == [200, 0, 200]
    assert pairs.counts.tolist() == [1, 1, 2]
