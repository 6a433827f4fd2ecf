"""Contact sheets, pixel by pixel."""

import numpy as np
import pytest

from nrw.core.io import read_image
from nrw.core.pictures import GAP, SAMPLE_SIZE, STRIP, Overview, row, sheet_of


def plain(width, height, value):
    return np.full((height, width, 3), value, np.uint8)


def test_a_row_has_each_picture_under_its_caption():
    sheet = row([plain(40, 30, 10), plain(60, 30, 20)], ["one", ""])
    assert sheet.shape == (STRIP + 30, 40 + GAP + 60, 3)
    assert (sheet[STRIP:, :40] == 10).all()
    assert (sheet[STRIP:, 40 : 40 + GAP] == 255).all()
    assert (sheet[STRIP:, 40 + GAP :] == 20).all()
    assert (sheet[:STRIP, :40] < 255).any()
    assert (sheet[:STRIP, 40:] == 255).all()


def test_a_long_caption_is_cut_at_its_picture():
    sheet = row([plain(20, 10, 10), plain(200, 10, 20)], ["a caption of many words", ""])
    assert (sheet[:STRIP, 20:] == 255).all()


def test_a_row_needs_a_caption_for_each_picture():
    with pytest.raises(ValueError):
        row([plain(20, 10, 10)], [])


def test_an_overview_scales_rows_to_one_width_up_to_its_limit(tmp_path):
    overview = Overview(width=50, limit=2)
    for width, height, value in ((100, 40, 1), (25, 10, 2), (50, 50, 3)):
        overview.add(plain(width, height, value))
    overview.write(tmp_path / "overview.png")
    picture = read_image(tmp_path / "overview.png")
    assert picture.shape == (40, 50, 3)
    assert (picture[:20] == 1).all() and (picture[20:] == 2).all()


def test_a_sheet_aligns_pictures_of_any_size_in_columns():
    sheet = sheet_of([[plain(30, 20, 1), plain(10, 10, 2)], [plain(20, 40, 3), plain(30, 5, 4)]])
    assert sheet.shape == (20 + 40, 2 * 30, 3)
    assert (sheet[:20, :30] == 1).all()
    assert (sheet[:10, 30:40] == 2).all()
    assert (sheet[20:, :20] == 3).all()
    assert (sheet[20:25, 30:] == 4).all()
    assert (sheet == 255).all(axis=2).sum() == 60 * 60 - 30 * 20 - 10 * 10 - 20 * 40 - 30 * 5


def test_a_sheet_shrinks_large_pictures():
    assert sheet_of([[plain(4 * SAMPLE_SIZE, 2 * SAMPLE_SIZE, 1)]]).shape == (SAMPLE_SIZE // 2, SAMPLE_SIZE, 3)
