"""Stage 8, evaluation: `scores` of the validation photos by `metrics`, beside `baselines` without learning."""
