"""Training: the three stages (`pretrain`, `rerender`) and semantic completion, with their checkpoints, logs and losses."""
