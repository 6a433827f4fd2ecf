"""Models of a few thousand random weights, saved to disk as real ones are, so that the real loading code runs."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from random_segmenters import LABELS, segformer_config, swin_config
from transformers import (
    BertConfig,
    BertForTokenClassification,
    CLIPTokenizer,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessorPil,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    OneFormerImageProcessorPil,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from nrw.core.ade20k import label_of
from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.segmentation.segmenter import Segmenter


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mask2former")
    config = Mask2FormerConfig(
        backbone_config=swin_config(),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=10,
        **LABELS,
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessorPil(num_labels=150, ignore_index=255).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def oneformer(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("oneformer")
    config = OneFormerConfig(
        backbone_config=swin_config(),
        num_queries=10,
        hidden_dim=32,
        conv_dim=32,
        mask_dim=32,
        dim_feedforward=16,
        encoder_feedforward_dim=16,
        num_attention_heads=2,
        encoder_layers=1,
        decoder_layers=2,
        is_training=False,
        task_seq_len=7,
        **LABELS,
    )
    OneFormerForUniversalSegmentation(config).save_pretrained(folder)
    OneFormerImageProcessorPil(num_labels=150, ignore_index=255).save_pretrained(folder)
    # as on the hub: names a table in another repository, which must not be needed
    settings = read_json(folder / "preprocessor_config.json") | {"class_info_file": "ade20k_panoptic.json"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    words = ["the", "task", "is", "semantic"]
    letters = sorted(set("".join(words)))
    tokens = ["<|startoftext|>", "<|endoftext|>", *(f"{word}</w>" for word in words), *letters]
    tokens += [f"{letter}</w>" for letter in letters]
    CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    return folder


class TestSegmenter:
    def test_semantic_model_agrees_with_the_network_itself(self, float32, segformer, pixels):
        labels = Segmenter(str(segformer), 64, "cpu")(pixels)
        network = SegformerForSemanticSegmentation.from_pretrained(segformer).eval()
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        tensor = torch.from_numpy((pixels / 255 - mean) / std).float().permute(2, 0, 1)[None]  # (1, 3, H, W)
        with torch.no_grad():
            scores = torch.nn.functional.interpolate(network(tensor).logits, pixels.shape[:2], mode="bilinear")
        np.testing.assert_array_equal(labels, scores[0].argmax(0).numpy() + 1)
        assert labels.dtype == np.uint8

    @pytest.mark.parametrize("name", ["mask2former", "oneformer"])
    def test_universal_models_are_recognized_by_their_configuration(self, name, request, pixels):
        segmenter = Segmenter(str(request.getfixturevalue(name)), 64, "cpu")
        assert (segmenter.task is not None) == (name == "oneformer")
        labels = segmenter(pixels)
        assert labels.shape == pixels.shape[:2]
        assert labels.dtype == np.uint8
        assert 1 <= labels.min() <= labels.max() <= 150

    def test_the_most_confident_mask_gives_the_label(self, mask2former, pixels):
        """With every query certain of grass, every pixel is grass, wherever the masks lie."""
        segmenter = Segmenter(str(mask2former), 64, "cpu")
        classifier = segmenter.network.class_predictor
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
        with torch.no_grad():
            classifier.bias[9] = 20
        assert (segmenter(pixels) == label_of("grass")).all()

    def test_labels_have_the_photos_size_though_the_model_sees_a_small_copy(self, segformer, pixels):
        large = np.array(Image.fromarray(pixels).resize((260, 170)))
        segmenter = Segmenter(str(segformer), 64, "cpu")
        seen = []
        segmenter.network.register_forward_pre_hook(
            lambda module, args, inputs: seen.append(tuple(inputs["pixel_values"].shape)), with_kwargs=True
        )
        assert segmenter(large).shape == (170, 260)
        assert seen == [(1, 3, 42, 64)]  # the photo's shape, not the processor's square


class TestUnusableModels:
    def test_a_missing_folder(self):
        with pytest.raises(UserError, match=r"(?s)segmentation\.model: there is no folder \./nowhere.*none"):
            Segmenter("./nowhere", 64, "cpu")

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(UserError, match=r"holds no model: it has no config\.json"):
            Segmenter(str(tmp_path), 64, "cpu")

    def test_other_weights_than_safetensors(self, segformer, tmp_path):
        for file in segformer.iterdir():
            if file.suffix == ".json":
                (tmp_path / file.name).write_bytes(file.read_bytes())
        torch.save(SegformerForSemanticSegmentation(segformer_config()).state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(UserError, match="no weights in safetensors"):
            Segmenter(str(tmp_path), 64, "cpu")

    def test_damaged_weights(self, segformer, tmp_path):
        for file in segformer.iterdir():
            (tmp_path / file.name).write_bytes(
                file.read_bytes()[:1000] if file.suffix != ".json" else file.read_bytes()
            )
        with pytest.raises(UserError, match="cannot be read"):
            Segmenter(str(tmp_path), 64, "cpu")

    def test_no_segmentation_model(self, tmp_path):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        BertForTokenClassification(BertConfig(**LABELS, **sizes, vocab_size=10)).save_pretrained(tmp_path)
        SegformerImageProcessorPil().save_pretrained(tmp_path)
        with pytest.raises(UserError, match="a bert model, which labels no pixels"):
            Segmenter(str(tmp_path), 64, "cpu")

    def test_a_configuration_that_transformers_refuses(self, segformer, tmp_path):
        shutil.copytree(segformer, tmp_path, dirs_exist_ok=True)
        config = read_json(tmp_path / "config.json") | {"hidden_sizes": "many"}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=r"cannot be read: .*hidden_sizes.*many"):
            Segmenter(str(tmp_path), 64, "cpu")

    def test_missing_weights(self, segformer, tmp_path):
        model = SegformerForSemanticSegmentation.from_pretrained(segformer)
        state = {
            name: value for name, value in model.state_dict().items() if not name.startswith("decode_head.linear_")
        }
        model.save_pretrained(tmp_path, state_dict=state)
        SegformerImageProcessorPil().save_pretrained(tmp_path)
        with pytest.raises(UserError, match=r"lacks .* of its weights .*decode_head"):
            Segmenter(str(tmp_path), 64, "cpu")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
    def test_cuda_is_not_replaced_in_silence(self, segformer):
        with pytest.raises(UserError, match="no CUDA device"):
            Segmenter(str(segformer), 64, "cuda")


def test_a_lack_of_memory_is_no_fault_of_the_model(segformer, monkeypatch):
    def load(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("nrw.segmentation.segmenter.AutoModelForSemanticSegmentation.from_pretrained", load)
    with pytest.raises(UserError, match="Memory ran out"):
        Segmenter(str(segformer), 64, "cpu")
