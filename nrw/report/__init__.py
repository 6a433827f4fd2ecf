"""Stage 10, the report of a finished scene: one HTML file that opens without network.

`photos`, `sections` and `figures` gather what the stages left, `verdict` judges it and gives advice, `page` writes the
file with `pictures` embedded.
"""
