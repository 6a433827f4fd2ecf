import jsonschema
import pytest
import yaml

from nrw.config.resolve import SCHEMA, check_folders, merge, resolve, resolve_or_exit
from nrw.core.errors import UserError

KEYWORDS = {
    *("$schema", "type", "enum", "default", "description", "pattern", "required", "items", "properties"),
    *("additionalProperties", "propertyNames", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("format", "minLength", "minItems", "maxItems", "minProperties", "maxProperties"),
}


def test_a_folder_on_the_command_line_becomes_a_scene_with_its_name():
    assert resolve({"photos": "/data/Notre Dame (été)/"})["scenes"] == {
        "Notre_Dame_été": {"photos": "/data/Notre Dame (été)/"}
    }


def test_user_goes_over_preset_and_preset_over_default():
    resolved = resolve({"photos": "p", "preset": "standard", "training": {"finetune": {"kimg": 3}}})
    assert resolved["device"] == "cuda"
    assert resolved["training"]["finetune"] == {
        "kimg": 3, "learning_rate": 0.001, "encoder_learning_rate": 0.0005,
        "quarter_resolution_share": 0.0, "half_resolution_share": 0.0, "adversarial_share": 0.5,
    }  # fmt: skip
    assert resolved["training"]["betas"] == [0.9, 0.99]


def test_numbers_given_as_text_on_the_command_line_are_numbers():
    typed = resolve(
        {"photos": "1", "sfm": {"max_size": "640", "reproducible": "true"}, "training": {"betas": ["0.5", "0.9"]}}
    )
    assert typed["sfm"]["max_size"] == 640 and typed["sfm"]["reproducible"] is True
    assert typed["training"]["betas"] == [0.5, 0.9]
    assert typed["scenes"] == {"1": {"photos": "1"}}


def test_merge_leaves_its_arguments_alone():
    base = {"a": {"b": 1, "c": 2}}
    assert merge(base, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert base == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"photos": "p", "trainin": {}}, "'trainin': did you mean 'training'"),
        ({"photos": "p", "training": {"finetune": {"kimgs": 1}}}, "did you mean 'training.finetune.kimg'"),
        ({"photos": "p", "device": "gpu"}, "device: 'gpu' is not one of"),
        ({"photos": "p", "sfm": {"max_features": "many"}}, "sfm.max_features: 'many' is not of type 'integer'"),
        ({"photos": "p", "framebuffers": {"splat": 2}}, "splat is 2: it must be odd"),
        ({"photos": "p", "preset": "drafty"}, "Did you mean 'draft'. Choose one of draft, paper, standard"),
        ({"scenes": {"a": {"photos": "p", "aligned": "q"}}}, "scenes.a"),
        ({"scenes": {"a b": {"photos": "p"}}}, "'a b' does not match"),
        ({"scenes": {"..": {"photos": "p"}}}, "'..' does not match"),
        ({"scenes": {"a": {"photos": ""}}}, "scenes.a.photos: '' should be non-empty"),
        ({"scenes": ["p"], "photos": "q"}, "scenes: .* is not of type 'object'"),
        ({"photos": ""}, "photos: '' should be non-empty"),
        ({"photos": "p", "mvs": "{max_size: 480"}, "mvs: '{max_size: 480' is not YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_named(user, message):
    with pytest.raises(UserError, match=message):
        resolve(user)


@pytest.mark.parametrize("name", ["draft", "standard", "paper"])
def test_every_preset_is_valid(name):
    assert resolve({"photos": "p", "preset": name})["preset"] == name


def test_the_paper_preset_has_the_hyper_parameters_of_2019():
    paper = resolve({"photos": "p", "preset": "paper"})
    training = paper["training"]
    assert paper["network"] == {
        "architecture": "paper2019", "base_width": 64, "max_width": 512, "stages": 6, "z_dim": 8,
    }  # fmt: skip
    assert (training["batch_size"], training["crop_size"], training["betas"]) == (8, 256, [0.0, 0.99])
    assert training["appearance"] == {
        "kimg": 56, "batch_size": 8, "learning_rate": 0.001, "margin": 0.1, "positives": 5, "negatives": 13,
        "style_size": 512,
    }  # fmt: skip
    assert (training["rerender"]["kimg"], training["rerender"]["learning_rate"]) == (4000, 0.001)
    assert training["rerender"]["encoder_learning_rate"] == 0
    assert (training["finetune"]["kimg"], training["finetune"]["encoder_learning_rate"]) == (4000, 0.0001)
    assert training["losses"] == {"l1": 0, "gradient": 0, "dssim": 0, "perceptual": 0.3, "adversarial": 1.0}
    assert (training["ema_decay"], training["schedule"]) == (0.999, "constant")
    assert training["mask_transient"] is False
    assert paper["dataset"]["min_density"] == 0.15


def test_an_edit_of_the_labels_is_checked_before_the_run():
    assert resolve({"photos": "p", "videos": {"edit": "{grass: sidewalk}"}})["videos"]["edit"] == {"grass": "sidewalk"}
    for edit in ({"gras": "sidewalk"}, {"sidewalk": "gras"}):
        with pytest.raises(UserError, match="the nearest is 'grass'"):
            resolve({"photos": "p", "videos": {"edit": edit}})
    unlabelled = {"segmentation": {"model": "none"}, "videos": {"edit": {"grass": "sidewalk"}}}
    with pytest.raises(UserError, match=r"segmentation\.model is none"):
        resolve({"photos": "p", **unlabelled})
    aligned = {"scenes": {"old": {"aligned": "p"}}, "preset": "paper"}  # has labels of its own, or not
    assert resolve({**aligned, **unlabelled})["videos"]["edit"]


def test_without_a_scene_the_process_ends_with_what_to_write():
    with pytest.raises(SystemExit, match=r"^Error: No photos: .*--config photos="):
        resolve_or_exit({}, [])


def test_a_folder_that_cannot_be_read_is_named_before_anything_runs(tmp_path, no_root):
    (tmp_path / "file").touch()
    check_folders({"place": {"photos": str(tmp_path)}})
    for folder, found in ((tmp_path / "absent", "does not exist"), (tmp_path / "file", "is a file")):
        with pytest.raises(UserError, match=rf"scenes\.place\.photos: the folder .*{folder.name}' {found}"):
            check_folders({"place": {"photos": str(folder)}})
    (tmp_path / "private").mkdir(mode=0)
    with no_root(), pytest.raises(UserError, match=r"private' cannot be read \(Permission denied\)\. Give yourself"):
        check_folders({"place": {"photos": str(tmp_path / "private")}})


def test_every_key_of_the_schema_is_json_schemas_own():
    """A comma in a description that is not quoted would begin another key, which JSON Schema ignores."""

    def check(part, where=""):
        unknown = set(part) - KEYWORDS
        assert not unknown, f"{where or 'the top level'}: {unknown}"
        for name, entry in part.get("properties", {}).items():
            check(entry, f"{where}.{name}")
        for name in ("items", "additionalProperties", "propertyNames"):
            if isinstance(part.get(name), dict):
                check(part[name], f"{where}.{name}")

    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    check(schema)
