"""Bits moved by a score: as many up as down, by hand."""

import numpy as np
import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study.answers.dealing import factors_by, known_factors, worth


def test_as_many_go_up_as_down():
    assert list(factors_by(np.array([3.0, 1, 2, 5, 4]), 0.2)) == [0, -1, 0, 1, 0]
    assert not factors_by(np.arange(4.0), 0.1).any()
    for share in (-0.1, 0.6):  # more would get a bit more than get one fewer
        with pytest.raises(ConfigError, match="from 0 to 0.5"):
            factors_by(np.arange(4.0), share)
    known = known_factors(pd.DataFrame({"benefit": [0.0, 5, 1], "harm": [9.0, 0, 4]}), 0.34)
    assert list(known) == [0, 1, -1]


def test_the_worth_of_a_bit():
    found = worth(pd.DataFrame({"fp -1": [9.0], "fp +0": [4.0], "fp +1": [1.0]}))
    assert found.to_dict("records") == [{"benefit": 3.0, "harm": 5.0}]
