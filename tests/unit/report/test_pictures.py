import base64
import io

import pytest
from photo_folder import noise
from PIL import Image

from nrw.report.pictures import thumbnail


def test_thumbnails_are_small_and_upright(tmp_path):
    picture = Image.new("RGB", (3000, 2000), "red")
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90°
    picture.save(tmp_path / "a.jpg", exif=exif)
    address = thumbnail(tmp_path / "a.jpg", 160)
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as small:
        assert small.size == (107, 160)
    assert len(address) < 8000
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert thumbnail(tmp_path / "b.jpg", 160) is None
    assert thumbnail(tmp_path / "absent.jpg", 160) is None


def test_a_picture_that_its_decoder_gives_up_on_has_no_thumbnail(tmp_path):
    frames = [noise(seed, 400, 300) for seed in range(2)]
    frames[0].save(tmp_path / "whole.avif", save_all=True, append_images=frames[1:])
    damaged = bytearray((tmp_path / "whole.avif").read_bytes())
    start = damaged.index(b"mdat") + 4
    damaged[start : start + 200] = b"\xff" * 200
    (tmp_path / "damaged.avif").write_bytes(damaged)
    with Image.open(tmp_path / "damaged.avif") as picture, pytest.raises(RuntimeError):
        picture.load()
    assert thumbnail(tmp_path / "damaged.avif", 160) is None
