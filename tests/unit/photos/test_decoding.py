"""Pictures of every kind of pixels, turn and colour profile, and focal lengths from EXIF."""

import numpy as np
import pytest
from photo_folder import copy_of, imported, linear_profile, noise
from PIL import Image, ImageCms

from nrw.photos.decoding import focal_length


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(folder, orientation):
    upright = noise(20, 90, 120)
    # EXIF names the turn that makes the stored picture upright; these are their inverses
    store = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(store[orientation]) if orientation in store else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("jpg", "png", "webp", "tif", "heic"):
        stored.save(folder / f"turned.{suffix}", exif=exif.tobytes(), quality=98)
        rows, images = imported(folder)
        row = rows[f"turned.{suffix}"]
        assert (row["verdict"], row["original_width"], row["original_height"]) == ("ok", "90", "120")
        assert np.abs(copy_of(rows, images, f"turned.{suffix}") - np.asarray(upright)).mean() < 6, suffix
        (folder / f"turned.{suffix}").unlink()


def test_focal_length_from_the_sensor():
    # a Canon EOS 10D: 22.7 mm wide, 3072 pixels, 3443.9 pixels per inch; at 50 mm f = 50 / 22.66 mm * 3072
    exif = {0x920A: 50.0, 0xA20E: 3443.946, 0xA210: 2, 0xA002: 3072, 0xA003: 2048}
    assert focal_length(exif, 3072, 2048) == pytest.approx(6779, abs=2)
    assert focal_length(exif, 2048, 3072) == pytest.approx(6779, abs=2)
    assert focal_length(exif, 768, 512) == pytest.approx(6779 / 4, abs=1)
    assert focal_length(exif | {0xA210: 3, 0xA20E: 3443.946 / 2.54}, 3072, 2048) == pytest.approx(6779, abs=2)
    assert focal_length(exif | {0xA405: 80}, 3072, 2048) == pytest.approx(80 / 43.27 * np.hypot(3072, 2048))
    for broken in ({}, {0xA405: 0}, {0xA405: "wide"}, {0x920A: 50.0}, exif | {0x920A: 0.001}, exif | {0xA210: 9}):
        assert focal_length(broken, 3072, 2048) is None


def test_kinds_of_pixels(folder):
    gray = np.tile(np.linspace(0, 1, 120), (90, 1))
    Image.fromarray(np.round(gray * 65535).astype(np.uint16)).save(folder / "gray16.png")
    Image.fromarray(np.round(gray * 65535).astype(np.uint16)).save(folder / "gray16.tif")
    Image.fromarray((gray * 255).astype(np.uint8).T.copy()).save(folder / "gray8.png")
    half = np.zeros((90, 120, 4), np.uint8)
    half[..., 0], half[:, 60:, 3] = 255, 255
    Image.fromarray(half).save(folder / "alpha.webp", lossless=True)
    Image.fromarray(half).quantize(8).transpose(Image.Transpose.ROTATE_180).save(folder / "palette.png")
    noise(40).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(gray.astype(np.float32)).save(folder / "float.tif")
    rows, images = imported(folder)

    expected = (gray * 255)[..., None]
    assert np.abs(copy_of(rows, images, "gray16.png") - expected).max() <= 3
    assert rows["gray16.tif"]["verdict"] == "duplicate of gray16.png"
    assert np.abs(copy_of(rows, images, "gray8.png") - expected.transpose(1, 0, 2)).max() <= 3
    alpha = copy_of(rows, images, "alpha.webp")
    assert np.abs(alpha[:, :50] - 255).max() <= 3 and np.abs(alpha[:, 70:] - [255, 0, 0]).max() <= 3
    palette = copy_of(rows, images, "palette.png")
    assert np.abs(palette[:, 70:] - 255).max() <= 3 and np.abs(palette[:, :50] - [255, 0, 0]).max() <= 3
    assert np.abs(copy_of(rows, images, "cmyk.jpg") - np.asarray(noise(40))).mean() < 6
    assert rows["float.tif"]["verdict"].startswith("unreadable: floating-point pixels")


def test_color_profiles(folder):
    noise(41).save(folder / "linear.png", icc_profile=linear_profile(b"linear"))
    noise(45).save(folder / "named.png", icc_profile=linear_profile(b"Scene-referred Linear sRGB"))
    noise(42).save(folder / "srgb.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    noise(43).save(folder / "unfit.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    noise(44).save(folder / "damaged.png", icc_profile=b"no profile")
    rows, images = imported(folder)
    for seed, file in ((41, "linear.png"), (45, "named.png")):  # a profile is what it says, not what it is called
        linear = np.asarray(noise(seed)) / 255
        encoded = (
            np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
        )  # IEC 61966-2-1
        assert np.abs(copy_of(rows, images, file) - encoded).mean() < 3
    for seed, file in ((42, "srgb.png"), (43, "unfit.png"), (44, "damaged.png")):
        assert np.abs(copy_of(rows, images, file) - np.asarray(noise(seed))).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_and_second_pictures_do_not_spoil_a_photo(folder):
    noise(43).save(folder / "exif.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    noise(44).save(folder / "gainmap.jpg", "MPO", save_all=True, append_images=[noise(45, 60, 45)])
    noise(46).save(folder / "pages.tif", save_all=True, append_images=[noise(47, 60, 45)])
    rows, images = imported(folder)
    for seed, file in ((43, "exif.jpg"), (44, "gainmap.jpg"), (46, "pages.tif")):
        assert rows[file]["verdict"] == "ok"
        assert np.abs(copy_of(rows, images, file) - np.asarray(noise(seed))).mean() < 10
