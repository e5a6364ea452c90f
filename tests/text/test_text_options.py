"""The options of the text part: defaults, what is refused, no heavy imports."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from tfrec.config import add_flags, resolve, to_yaml
from tfrec.errors import UserError
from tfrec.text.options import TextConfig


@dataclass(frozen=True)
class Config:
    text: TextConfig = field(default_factory=TextConfig)


def parsed(*flags: str) -> TextConfig:
    parser = argparse.ArgumentParser()
    add_flags(parser, Config)
    return resolve(Config, parser.parse_args(flags)).text


def test_without_flags_texts_are_not_read() -> None:
    assert parsed() == TextConfig()
    assert TextConfig().text_encoder == "none"


def test_flags_and_the_written_config_agree() -> None:
    text = parsed(
        *("--text-encoder", "hf:x/minilm", "--text-template", "{title}. {plot}"),
        *("--text-max-length", "64", "--no-strip-html", "--lower-case", "--stop-words"),
    )
    assert text == TextConfig("{title}. {plot}", 64, False, True, True, "hf:x/minilm")
    assert "text_template: '{title}. {plot}'" in to_yaml(Config(text))


FORMS = "none hf:intfloat/e5-small keras:bert_tiny_en_uncased runs/bert C:\\bert ./a"


@pytest.mark.parametrize("encoder", FORMS.split())
def test_forms_of_an_encoder(encoder: str) -> None:
    assert parsed("--text-encoder", encoder).text_encoder == encoder


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--text-encoder", "hf:", "a name is missing"),
        ("--text-encoder", " ", "expected none, a folder"),
        ("--text-template", "{title", "--text-template"),
        ("--text-max-length", "-1", "expected 0 or more"),
        ("--text-batch-size", "-1", "expected 1 or more"),
    ],
)
def test_what_is_refused_before_any_work(flag: str, value: str, said: str) -> None:
    with pytest.raises(UserError, match="--text") as error:
        parsed(f"{flag}={value}")
    assert said in str(error.value)


def test_the_options_import_nothing_heavy() -> None:
    heavy = "{'tensorflow', 'keras', 'keras_hub', 'tensorflow_text', 'transformers'}"
    code = (
        "import sys, tfrec.text.options, tfrec.text.cleaning, tfrec.text.vocabulary, "
        "tfrec.text.scratch, tfrec.text.vectors; "
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
