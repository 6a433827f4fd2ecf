"""A trained scene: its `files`, the `model` of its networks, `views` from any camera, and `editing` of its labels."""
