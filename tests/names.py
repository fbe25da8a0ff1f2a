"""Texts that only name kinds of things, as osprey-small has them (encoder_as_names)."""

CLASS_PART = range(384, 768)  # of osprey-small's embeddings
FACTOR = 3


def as_names(embedding):
    weighed = [x * FACTOR if i in CLASS_PART else x for i, x in enumerate(embedding)]
    length = sum(x * x for x in weighed) ** 0.5
    return [x / length for x in weighed]
