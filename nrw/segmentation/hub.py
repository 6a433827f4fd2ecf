"""Models of the Hugging Face hub: found in its cache, and fetched into it where they are missing."""

import logging
import textwrap
from pathlib import Path

from nrw.core.errors import UserError, of_machine
from nrw.segmentation.model_files import check_files

# what a model of transformers is loaded from; repositories hold other formats of the weights, and examples, too
FILES = ("*.json", "*.txt", "model.safetensors", "model-*.safetensors")
logger = logging.getLogger(__name__)


def fetch(model: str) -> Path:
    """The folder in the hub's cache with a model, `id` or `id@revision`; downloads what is missing.

    A model that is there is not asked for again: it needs no network, and all pieces of a run have the same. Raises
    UserError where it can neither be found nor downloaded, or is none that can be used (`model_files.check_files`).
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(model, local_files_only=True)
    except (LocalEntryNotFoundError, UserError):
        logger.info("fetching segmentation.model %s", model)
    try:
        return _snapshot(model, local_files_only=False)
    except UserError:
        raise
    except Exception as error:  # of the hub, of a proxy, of the disk
        raise of_machine(error) or _out_of_reach(model, error) from error


def _snapshot(model: str, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download  # slow to load

    name, _, revision = model.partition("@")
    folder = Path(
        snapshot_download(
            name, revision=revision or None, allow_patterns=list(FILES), local_files_only=local_files_only
        )
    )
    check_files(model, folder)
    return folder


def _out_of_reach(model: str, error: Exception) -> UserError:
    from huggingface_hub import constants

    name, _, revision = model.partition("@")
    option = f" --revision {revision}" if revision else ""
    hub = "HF_HUB_OFFLINE forbids to fetch it" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} did not give it"
    said = textwrap.shorten(str(error).strip(), 300) or type(error).__name__
    return UserError(
        f"segmentation.model {model} is not in the cache {constants.HF_HUB_CACHE}, and {hub}: {said}\n"
        f"Fetch it on a machine with access to the hub (`hf download {name}{option} --local-dir FOLDER`), bring the "
        "folder here, and set segmentation.model to it; or set it to none to work without labels."
    )
