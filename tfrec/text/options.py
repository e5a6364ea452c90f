"""How texts are read: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from tfrec.config import option
from tfrec.errors import UserError
from tfrec.text.template import check_template


@dataclass(frozen=True)
class TextConfig:
    """The texts.

    Raises:
        UserError: an encoder of no known form, a template without sense, a number below 1.

    Example:
        >>> TextConfig(text_encoder="minilm", text_template="{title}. {year}").text_batch_size
        64
    """

    text_encoder: str = option(
        "none",
        "what turns texts into vectors: none; a folder as Hugging Face's save_pretrained or "
        "sentence-transformers writes it; hf:<id>, downloaded once from the Hugging Face hub, "
        "e.g. hf:sentence-transformers/all-MiniLM-L6-v2; keras:<preset>, one of keras-hub, e.g. "
        "keras:bert_tiny_en_uncased. It is used as it is, not trained (ledger)",
    )
    text_template: str = option(
        "",
        "one text from an item's columns, e.g. '{title} ({year}). {description}'; what stands "
        "beside a missing value goes with it. Not given: every text column, joined by '. '",
    )
    text_max_length: int = option(
        0, "tokens of a text that the encoder reads; 0: as many as it was made for", metavar="N"
    )
    text_batch_size: int = option(
        64, "texts per call of the encoder; does not change their vectors", metavar="N"
    )
    strip_html: bool = option(True, "decode HTML entities, drop tags, scripts and style sheets")
    lower_case: bool = option(
        False, "texts in lower case before anything else; uncased encoders do so by themselves"
    )
    stop_words: bool = option(
        False, "drop frequent English words (the, of, …); pre-trained encoders read better with"
    )

    def __post_init__(self) -> None:
        _check_encoder(self.text_encoder)
        if self.text_template:
            check_template(self.text_template)
        for flag, value, least in (
            ("--text-max-length", self.text_max_length, 0),
            ("--text-batch-size", self.text_batch_size, 1),
        ):
            if value < least:
                raise UserError(f"{flag} is {value}, expected {least} or more")


def _check_encoder(encoder: str) -> None:
    """Only the form: whether the folder or preset exists is seen when it is opened."""
    kind, colon, name = encoder.partition(":")
    known = "none, a folder, hf:<id> or keras:<preset>"
    if not encoder.strip():
        raise UserError(f"--text-encoder is empty, expected {known}")
    if colon and kind in ("hf", "keras") and not name.strip():
        raise UserError(f"--text-encoder {encoder}: a name is missing behind the colon")
