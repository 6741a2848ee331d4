"""What an unknown name was probably meant to be."""

import pytest

from adabm.suggestions import suggestion


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("adabn", "did you mean 'adabm'?"),
        ("min_max", "did you mean 'minmax'?"),
        ("lsq", "known are adabm, minmax"),
        (3, "known are adabm, minmax"),
    ],
)
def test_a_close_match_or_all_names(name, end):
    assert suggestion(name, iter(["adabm", "minmax"])) == end
