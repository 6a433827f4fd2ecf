import base64
import io

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
