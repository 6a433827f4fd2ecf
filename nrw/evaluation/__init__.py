"""Stage 8, scores on the validation photos: `scores`, `metrics`, and `baselines` without learning."""
