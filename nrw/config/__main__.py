from nrw.config.document import document

print(document(), end="")
