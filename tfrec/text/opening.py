"""From the options of the command line to what turns texts into vectors."""

from __future__ import annotations

from tfrec.text.chunks import ChunkedEncoder
from tfrec.text.encoder import TextEncoder, load_encoder
from tfrec.text.options import HUB, TextConfig


def open_encoder(config: TextConfig) -> TextEncoder:
    """The encoder that --text-encoder names, reading texts as long as the options say.

    Raises:
        UserError: it cannot be read.
    """
    max_length = config.text_max_length or None
    if config.text_encoder.startswith(HUB):
        from tfrec.text.hub_encoder import load_hub

        return load_hub(config.text_encoder, max_length)
    encoder = load_encoder(config.text_encoder, max_length)
    return ChunkedEncoder(encoder) if config.long_texts == "chunks" else encoder
