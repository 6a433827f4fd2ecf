from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.videos import make

    torch.set_num_threads(snakemake.threads)
