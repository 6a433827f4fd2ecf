"""Stage 8, evaluation: `scores` of the validation photos, beside `baselines` without learning.

`large_views`: the same photos as views at their own size. Pictures are compared by `metrics`, one of which,
`feature_distance`, needs an extra.
"""
