"""Nested parameters of the notebooks: nothing misspelt is ignored."""

import pytest

from adabm.errors import ConfigError
from adabm.study.plan.options import check_choices, check_keys


@pytest.mark.parametrize("given, message", [
    ({"method": "adabm", "sedes": [1]}, "methods, N: unknown key 'sedes'; did you mean 'seeds'?"),
    ({"method": "adabm", "zzz": 1, "seeds": [1]}, "methods, N: unknown key 'zzz'; known are method, seeds, changes"),
    ({"method": "adabm"}, "methods, N: 'seeds' is missing"),
    ({"method": "adabm", "seeds": [0, 1, 0]}, "methods, N: seeds = [0, 1, 0]: must be a list of different whole numbers"),
    (["adabm"], "must have the keys method, seeds, changes"),
])  # fmt: skip
def test_keys(given, message):
    with pytest.raises(ConfigError) as caught:
        check_keys("methods, N", given, ["method", "seeds"], ["changes"])
    assert message in str(caught.value)


def test_what_fits_passes():
    check_keys("methods", {"seeds": [1], "method": "x", "changes": {}}, ["method", "seeds"], ["changes"])
    check_choices("strategies", ["random"], ["random", "diverse"])


def test_choices():
    with pytest.raises(ConfigError, match="combinations: unknown 'imge'; did you mean 'image'"):
        check_choices("combinations", ["layer", "imge"], ["image", "layer"])
