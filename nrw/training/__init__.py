"""Training: the three stages (`pretrain`, `rerender`), semantic completion, their checkpoints, logs and losses."""
