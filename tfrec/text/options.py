"""How texts are read: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfrec.config import option
from tfrec.errors import UserError
from tfrec.text.template import check_template

# Before the name of an encoder of TensorFlow Hub.
HUB = "tfhub:"


@dataclass(frozen=True)
class TextReading:
    """The texts.

    Raises:
        UserError: a template without sense, a length below 0.

    Example:
        >>> TextReading(text_template="{title}. {year}").strip_html
        True
    """

    text_template: str = option(
        "",
        "one text from an item's columns, e.g. '{title} ({year}). {description}'; what stands "
        "beside a missing value goes with it. Not given: every text column, joined by '. '",
    )
    text_max_length: int = option(
        0, "tokens of a text that the encoder reads; 0: as many as it was made for", metavar="N"
    )
    strip_html: bool = option(True, "decode HTML entities, drop tags, scripts and style sheets")
    lower_case: bool = option(
        False, "texts in lower case before anything else; uncased encoders do so by themselves"
    )
    stop_words: bool = option(
        False, "drop frequent English words (the, of, …); pre-trained encoders read better with"
    )

    def __post_init__(self) -> None:
        if self.text_template:
            check_template(self.text_template)
        if self.text_max_length < 0:
            raise UserError(f"--text-max-length is {self.text_max_length}, expected 0 or more")


@dataclass(frozen=True)
class TextConfig(TextReading):
    """The texts, and what reads them.

    Raises:
        UserError: an encoder of no known form, a template without sense, a number below 1.

    Example:
        >>> TextConfig(text_encoder="minilm", text_template="{title}. {year}").text_batch_size
        64
    """

    text_encoder: str = option(
        "none",
        "what turns texts into vectors: none; a folder as Hugging Face's save_pretrained, "
        "sentence-transformers or tfrec.pretrain writes it; hf:<id>, downloaded once from the "
        "Hugging Face hub, e.g. hf:sentence-transformers/all-MiniLM-L6-v2; keras:<preset>, one of "
        "keras-hub, e.g. keras:bert_tiny_en_uncased; tfhub:<folder or handle of Kaggle>, a "
        "SavedModel of TensorFlow Hub that reads strings, or a folder with preprocess/ and "
        "encoder/, or both as tfhub:<preprocessing>,<encoder>. Used as it is, unless "
        "--text-tuning (ledger)",
    )
    user_template: str = option(
        "",
        "one text from a user's columns, e.g. '{occupation}, {age} years old', which the ledger "
        "then reads as the first event of the user's history",
    )
    query_share: float = option(
        0.0,
        "share of the events before which training puts a search for words of the event's item, so "
        "that the ledger learns to read queries; 0: it reads none",
        metavar="SHARE",
    )
    long_texts: Literal["truncate", "chunks"] = option(
        "truncate",
        "of a text with more tokens than the encoder reads: its beginning alone, or the mean of "
        "the vectors of chunks that hold all of it (without --text-tuning)",
    )
    text_batch_size: int = option(
        64, "texts per call of the encoder; does not change their vectors", metavar="N"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder("--text-encoder", self.text_encoder, "none, ")
        if self.text_encoder.startswith("scratch:"):
            raise UserError(
                f"--text-encoder {self.text_encoder}: an encoder of our own has to learn to read "
                f"first. Train it with python -m tfrec.pretrain --encoder {self.text_encoder}, "
                "then give the folder that it leaves"
            )
        if self.user_template:
            check_template(self.user_template, flag="--user-template")
        if not 0 <= self.query_share <= 1:
            raise UserError(f"--query-share is {self.query_share}, expected between 0 and 1")
        if self.text_encoder.startswith(HUB) and self.long_texts == "chunks":
            raise UserError(
                f"--long-texts chunks cannot cut texts for {self.text_encoder}, which has its own "
                "tokenizer: leave it out"
            )
        if self.text_encoder == "none" and (self.user_template or self.query_share):
            raise UserError("--user-template and --query-share need an encoder: --text-encoder")
        if self.text_batch_size < 1:
            raise UserError(f"--text-batch-size is {self.text_batch_size}, expected 1 or more")


def check_encoder(flag: str, encoder: str, also: str = "") -> None:
    """Only the form: whether the folder or preset exists is seen when it is opened."""
    kind, colon, name = encoder.partition(":")
    if not encoder.strip():
        raise UserError(f"{flag} is empty, expected {also}a folder, hf:<id> or keras:<preset>")
    if colon and kind in ("hf", "keras", "tfhub", "scratch") and not name.strip():
        raise UserError(f"{flag} {encoder}: a name is missing behind the colon")
