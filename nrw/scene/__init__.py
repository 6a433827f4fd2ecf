"""A trained scene: its `files`, the `model` that draws it, and `editing` of its labels."""
