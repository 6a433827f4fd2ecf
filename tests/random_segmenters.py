"""Configurations of segmentation models with a few thousand random weights."""

from transformers import SegformerConfig, SwinConfig

from nrw.core.ade20k import ADE20K_NAMES

LABELS = {"id2label": dict(enumerate(ADE20K_NAMES)), "label2id": {name: i for i, name in enumerate(ADE20K_NAMES)}}


def segformer_config(**options):
    return SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
        **LABELS | options,
    )


def swin_config():
    return SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
