"""ADE20K label maps of photos, by a model of the Hugging Face hub or of a local folder.

Both kinds of model in transformers work: semantic ones (SegFormer, UPerNet, BEiT, DPT, …), which give each pixel
scores for the classes, and universal ones (OneFormer, Mask2Former, EoMT, …), which give scored masks. The model's own
configuration says which kind it is. Weights are read from safetensors only.
"""

import textwrap

import numpy as np
import torch
from PIL import Image
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

from nrw.core.device import autocast, torch_device
from nrw.core.errors import UserError, of_machine
from nrw.geometry.cameras import fit_size
from nrw.segmentation.hub import fetch
from nrw.segmentation.model_files import AGAIN, check_model, local_folder


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
        check_model(model)
        folder = local_folder(model) or fetch(model)
        try:
            config = AutoConfig.from_pretrained(folder)
            universal = type(config) in MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING
            if not universal and type(config) not in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
                raise UserError(
                    f"segmentation.model {model} is a {config.model_type} model, which labels no pixels: choose a "
                    "semantic or universal segmentation model trained on ADE20K, or none."
                )
            self.processor = AutoImageProcessor.from_pretrained(folder, **_processor_options(config))
            self.task = None
            if isinstance(config, OneFormerConfig):
                tokenizer = AutoTokenizer.from_pretrained(folder)
                self.task = OneFormerProcessor(self.processor, tokenizer, task_seq_length=config.task_seq_len)
            auto = AutoModelForUniversalSegmentation if universal else AutoModelForSemanticSegmentation
            network, loading = auto.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True
            )
        except UserError:
            raise
        except Exception as error:  # transformers raises errors of any kind for files that are not as it expects
            raise of_machine(error) or _unavailable(model, error) from error
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
        with autocast(self.device):
            outputs = self.network(**inputs.to(self.device))
        classes = self.processor.post_process_semantic_segmentation(outputs, target_sizes=[(shown.height, shown.width)])
        labels = (classes[0] + 1).to("cpu", torch.uint8).numpy()  # the hub numbers classes from 0
        return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def _processor_options(config: PreTrainedConfig) -> dict[str, object]:
    """OneFormer's processor would fetch a table from another repository, which only its training needs."""
    return {"class_info_file": None} if isinstance(config, OneFormerConfig) else {}


def _unavailable(model: str, error: Exception) -> UserError:
    """The error for a model that transformers could not read."""
    said = str(error).strip()
    reason = textwrap.shorten(said, 300) or type(error).__name__
    if isinstance(error, ImportError):
        return UserError(
            f"segmentation.model {model}: {reason} Install it in nrw's environment, or choose another model, or none."
        )
    if "ignore_mismatched_sizes" in said:
        return UserError(
            f"segmentation.model {model}: its weights have other sizes than its config.json names (see above): they "
            "are of another model, or of one trained on other classes. Choose a model trained on ADE20K, or none."
        )
    return UserError(f"segmentation.model: the model {model} cannot be read: {reason}\n{AGAIN}")
