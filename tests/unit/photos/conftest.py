import pytest
from photo_folder import noise


@pytest.fixture
def folder(tmp_path):
    """A folder with three usable photos, so that further files are judged without an error."""
    (tmp_path / "in").mkdir()
    for seed in range(3):
        noise(seed).save(tmp_path / "in" / f"a{seed}.jpg", quality=95)
    return tmp_path / "in"
