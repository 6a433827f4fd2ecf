from pathlib import Path

from nrw.config.document import document
from nrw.config.resolve import every_key

ROOT = Path(__file__).resolve().parents[3]


def test_the_documentation_of_the_keys_is_up_to_date():
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert page == document(), "python -m nrw.config > config/README.md"
    for key in every_key():
        assert f"`{key}`" in page
