from nrw.core.nearest import suggested_path, suggestion


def test_the_nearest_name_is_suggested_where_one_is_near():
    assert suggestion("appearances", ["time", "appearance"]) == " Did you mean 'appearance'?"
    assert suggestion("xyz", ["time", "appearance"]) == ""
    assert suggestion("xyz", ["appearance"], cutoff=0) == " Did you mean 'appearance'?"


def test_a_path_is_compared_with_what_lies_beside_it(tmp_path):
    (tmp_path / "vgg16.pth").touch()
    assert suggested_path(tmp_path / "vgg61.pth") == f" Did you mean '{tmp_path / 'vgg16.pth'}'?"
    assert suggested_path(tmp_path / "another") == ""
    assert suggested_path("ranom", ["random", "none"]) == " Did you mean 'random'?"
    assert suggested_path(tmp_path / "none" / "file") == ""
