"""From the options of the command line to what turns texts into vectors."""

from __future__ import annotations

from tfrec.text.chunks import ChunkedEncoder
from tfrec.text.encoder import Encoder, TextEncoder, load_encoder
from tfrec.text.hub_encoder import HubEncoder, load_hub
from tfrec.text.options import HUB, TextConfig


def open_to_tune(config: TextConfig) -> Encoder | HubEncoder:
    """The same encoder, with what training needs of it.

    Raises:
        UserError: it cannot be read.
    """
    max_length = config.text_max_length or None
    if config.text_encoder.startswith(HUB):
        return load_hub(config.text_encoder, max_length)
    return load_encoder(config.text_encoder, max_length)


def open_encoder(config: TextConfig) -> TextEncoder:
    """The encoder that --text-encoder names, reading texts as long as the options say.

    Raises:
        UserError: it cannot be read.
    """
    encoder = open_to_tune(config)
    if config.long_texts == "chunks" and isinstance(encoder, Encoder):
        return ChunkedEncoder(encoder)
    return encoder
