"""Stage 8, evaluation: `scores` of the validation photos, beside `baselines` without learning.

Pictures are compared by `metrics`, one of which, `feature_distance`, needs an extra.
"""
