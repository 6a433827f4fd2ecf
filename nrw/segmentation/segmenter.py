"""ADE20K label maps of photos, by a model of the Hugging Face hub or of a local folder.

Both kinds of model in transformers work: semantic ones (SegFormer, UPerNet, BEiT, DPT, …), which give each pixel
scores for the classes, and universal ones (OneFormer, Mask2Former, EoMT, …), which give scored masks. The model's own
configuration says which kind it is. Weights are read from safetensors only.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    AutoTokenizer,
    OneFormerConfig,
    OneFormerProcessor,
    PreTrainedConfig,
)

from nrw.core import ade20k
from nrw.core.device import torch_device
from nrw.core.errors import UserError
from nrw.geometry.cameras import fit_size

# Where a repository has no safetensors, transformers would silently fetch some from an unreviewed pull request.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"

MIN_AGREEING_NAMES = 100  # of 150: ADE20K models differ in a dozen synonyms, other data sets in nearly all names


class Segmenter:
    """A model that labels photos.

    model: a hub id, `id@revision`, or a local folder written by `save_pretrained` or `hf download`.
    max_size: pixels, longer side of the picture that the model gets. Models for squares of one size (those whose
    configuration has an `image_size`: BEiT, DPT, EoMT, …) get the photo as their own processor prepares it.
    device: "cpu" or "cuda".
    Raises UserError where the model cannot be read, has no safetensors, is no segmentation model, or was not trained on
    ADE20K's 150 classes, and for CUDA where there is no CUDA device.
    """

    def __init__(self, model: str, max_size: int, device: str) -> None:
        self.device = torch_device(device)
        self.max_size = max_size
        source = _source(model)
        try:
            config = AutoConfig.from_pretrained(**source)
            universal = type(config) in MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING
            if not universal and type(config) not in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
                raise UserError(
                    f"segmentation.model {model} is a {config.model_type} model, which labels no pixels: choose a "
                    "semantic or universal segmentation model trained on ADE20K, or none."
                )
            _check_classes(model, config)
            self.processor = AutoImageProcessor.from_pretrained(**source, **_processor_options(config))
            self.task = None
            if isinstance(config, OneFormerConfig):
                tokenizer = AutoTokenizer.from_pretrained(**source)
                self.task = OneFormerProcessor(self.processor, tokenizer, task_seq_length=config.task_seq_len)
            auto = AutoModelForUniversalSegmentation if universal else AutoModelForSemanticSegmentation
            network, loading = auto.from_pretrained(
                **source, config=config, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise _unavailable(model, error) from error
        missing = sorted(name for name in loading["missing_keys"] if not name.startswith("auxiliary_head"))
        if missing:  # transformers would use random values in their place
            raise UserError(
                f"segmentation.model {model} lacks {len(missing)} of its weights ({missing[0]}, …): it is not "
                "trained, or not for segmentation. Choose a model trained on ADE20K, or none."
            )
        self.network = network.to(self.device).eval()
        self.fixed_size = hasattr(config, "image_size")

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Labels (H, W) uint8, 1–150, of a photo's pixels (H, W, 3) uint8."""
        height, width = pixels.shape[:2]
        image = Image.fromarray(pixels)
        shown = image.resize(fit_size(width, height, self.max_size), Image.Resampling.LANCZOS)
        options = {} if self.fixed_size else {"do_resize": False}
        if self.task is not None:
            inputs = self.task(images=shown, task_inputs=["semantic"], return_tensors="pt", **options)
        else:
            inputs = self.processor(images=shown, return_tensors="pt", **options)
        with self._precision():
            outputs = self.network(**inputs.to(self.device))
        classes = self.processor.post_process_semantic_segmentation(outputs, target_sizes=[(shown.height, shown.width)])
        labels = (classes[0] + 1).to("cpu", torch.uint8).numpy()  # the hub numbers classes from 0
        return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))

    def _precision(self) -> AbstractContextManager:
        if self.device.type == "cpu":
            return nullcontext()
        return torch.autocast("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)


def _source(model: str) -> dict[str, str]:
    """Arguments that tell transformers where a configured model is. Raises UserError for a path that is no model."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"segmentation.model: the folder {model} holds no model: it has no config.json.")
        return {"pretrained_model_name_or_path": str(folder)}
    if (
        folder.is_absolute()
        or model.startswith((".", "~"))
        or model.count("/") != 1 + model.partition("@")[2].count("/")
    ):
        raise UserError(
            f"segmentation.model: there is no folder {model}. Give a folder with a model in it, a hub id such as "
            "openmmlab/upernet-convnext-base, or none."
        )
    name, _, revision = model.partition("@")
    return {"pretrained_model_name_or_path": name, "revision": revision or "main"}


def _processor_options(config: PreTrainedConfig) -> dict[str, object]:
    """OneFormer's processor would fetch a table from another repository, which only its training needs."""
    return {"class_info_file": None} if isinstance(config, OneFormerConfig) else {}


def _check_classes(model: str, config: PreTrainedConfig) -> None:
    """Raise UserError unless the model's labels are ADE20K's 150 classes, in order."""
    label_names: Mapping[Any, str] = config.id2label or {}  # by number, as read from a file
    names = [str(label_names.get(index, "")).partition(",")[0].partition(";")[0] for index in range(150)]
    agreeing = sum(ade20k.find(name) == label for label, name in enumerate(names, start=1))
    if config.num_labels != ade20k.N_LABELS or agreeing < MIN_AGREEING_NAMES:
        raise UserError(
            f"segmentation.model {model} does not label ADE20K's 150 classes: it has {config.num_labels} labels, of "
            f"which {agreeing} have the name that ADE20K gives their number (first: {', '.join(names[:3])}). Choose a "
            "model trained on ADE20K, or none."
        )


def _unavailable(model: str, error: Exception) -> UserError:
    """The error for a model that transformers could not read."""
    reason = str(error).strip().splitlines()[0]
    if "file named model.safetensors" in str(error):
        return UserError(
            f"segmentation.model {model} has no weights in safetensors ({reason}), and other formats can execute code. "
            "Choose a revision that has them (set segmentation.model to ID@REVISION), another model, or none."
        )
    if Path(model).expanduser().is_dir():
        return UserError(
            f"segmentation.model: the model in the folder {model} cannot be read: {reason}\nFetch it again, whole, "
            "with `hf download`; or set segmentation.model to none to work without labels."
        )
    name, _, revision = model.partition("@")
    option = f" --revision {revision}" if revision else ""
    return UserError(
        f"segmentation.model {model} cannot be read: {reason}\nFetch it beforehand on a machine with access to the hub "
        f"(`hf download {name}{option} --local-dir FOLDER`), bring the folder here, and set segmentation.model to it; "
        "or set it to none to work without labels."
    )
