"""The tokenizer of a Hugging Face folder, whichever files describe it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfrec.errors import UserError

# Special tokens of each family where no file names them: unknown, start, end, padding, mask.
_BERT = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
_ROBERTA = {
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_GPT2 = {"unk_token": "<|endoftext|>"}
_WORD_PIECE = ("bert", "distilbert")


def read_tokenizer(folder: Path, model_type: str) -> str:
    """The tokenizer of a folder, as the JSON of a `tokenizer.json`.

    `tokenizer.json` is taken where there is one, else `vocab.txt`, or `vocab.json` with
    `merges.txt`. What `tokenizer_config.json` says of case, accents, ideographs, the space before
    a text and the side that is cut off wins, as it does in Hugging Face's tokenizers.

    Arguments:
        folder: of a checkpoint.
        model_type: "bert", "distilbert", "roberta" or "gpt2".

    Raises:
        UserError: no vocabulary, or a file that cannot be read.

    Example:
        >>> read_tokenizer(Path("nowhere"), "bert")
        Traceback (most recent call last):
        tfrec.errors.UserError: nowhere has no vocabulary: ...
    """
    config = read_json(folder / "tokenizer_config.json", optional=True)
    named = read_json(folder / "special_tokens_map.json", optional=True) | config
    whole = folder / "tokenizer.json"
    if whole.is_file():
        definition = read_json(whole)
    elif model_type in _WORD_PIECE:
        definition = json.loads(_from_vocabulary(folder, named))
    else:
        definition = json.loads(_from_merges(folder, named, model_type))
    _override(definition, config)
    pad = _content(named.get("pad_token"))
    if pad is not None:
        definition["padding"] = _padding(definition, pad)
    if "truncation_side" in config:
        definition["truncation"] = {
            "max_length": 512,  # of no effect here, but `tokenizers` asks for it
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": str(config["truncation_side"]).capitalize(),
        }
    return json.dumps(definition, ensure_ascii=False)


def read_json(path: Path, optional: bool = False) -> dict[str, Any]:
    """A JSON object; an empty one for an optional file that is missing.

    Raises:
        UserError: missing, or not an object of JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if optional:
            return {}
        raise UserError(
            f"{path} is missing: give a folder as Hugging Face's save_pretrained writes it"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): copy or download it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object: copy or download it again")
    return found


def pair(merge: str | list[str]) -> tuple[str, str]:
    """A merge of BPE, which files write as "a b" or as ["a", "b"].

    Raises:
        UserError: not two tokens.
    """
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2:
        raise UserError(f"merge {merge!r} is not of two tokens: copy the tokenizer's files again")
    return parts[0], parts[1]


def _override(definition: dict[str, Any], config: dict[str, Any]) -> None:
    names = {
        "do_lower_case": "lowercase",
        "strip_accents": "strip_accents",
        "tokenize_chinese_chars": "handle_chinese_chars",
    }
    for part in _parts(definition.get("normalizer"), "normalizers"):
        if part["type"] == "BertNormalizer":
            part.update({to: config[name] for name, to in names.items() if name in config})
    for part in _parts(definition.get("pre_tokenizer"), "pretokenizers"):
        if part["type"] == "ByteLevel" and "add_prefix_space" in config:
            part["add_prefix_space"] = config["add_prefix_space"]


def _parts(step: dict[str, Any] | None, inside: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return list(step[inside]) if step["type"] == "Sequence" else [step]


def _from_vocabulary(folder: Path, named: dict[str, Any]) -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    path = folder / "vocab.txt"
    vocabulary: dict[str, int] = {}
    for number, line in enumerate(_lines(path, "tokenizer.json nor vocab.txt")):
        vocabulary[line] = number
    special = {name: _content(named.get(name)) or token for name, token in _BERT.items()}
    for name in ("unk_token", "cls_token", "sep_token"):
        if special[name] not in vocabulary:
            raise UserError(
                f"{path} lacks {special[name]!r}, the {name} of the model: "
                "it is not the vocabulary of this checkpoint"
            )
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = special["cls_token"], special["sep_token"]
    made.post_processor = processors.BertProcessing((sep, vocabulary[sep]), (cls, vocabulary[cls]))
    made.add_special_tokens([token for token in special.values() if token in vocabulary])
    return str(made.to_str())


def _from_merges(folder: Path, named: dict[str, Any], model_type: str) -> str:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

    merges = [
        pair(line)
        for line in _lines(folder / "merges.txt", "tokenizer.json nor merges.txt")
        if line and not line.startswith("#version")
    ]
    vocabulary = read_json(folder / "vocab.json")
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = dict(_GPT2 if model_type == "gpt2" else _ROBERTA)
    special |= {name: _content(named[name]) or "" for name in special if name in named}
    if model_type == "roberta":
        sep, cls = special["sep_token"], special["cls_token"]
        for name in ("sep_token", "cls_token"):
            if special[name] not in vocabulary:
                raise UserError(
                    f"{folder / 'vocab.json'} lacks {special[name]!r}, the {name} of the model: "
                    "it is not the vocabulary of this checkpoint"
                )
        made.post_processor = processors.RobertaProcessing(
            (sep, vocabulary[sep]), (cls, vocabulary[cls])
        )
    # RoBERTa's mask takes the space before it, so that "a <mask>" is as long as "a word".
    made.add_special_tokens(
        [
            AddedToken(token, lstrip=name == "mask_token", special=True)
            for name, token in special.items()
            if token in vocabulary
        ]
    )
    return str(made.to_str())


def _lines(path: Path, neither: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path.parent} has no vocabulary: neither {neither} is there. "
            "Copy the tokenizer's files beside config.json"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): copy or download it again") from None
    # Not splitlines: a token may be one of the rarer line ends of Unicode.
    return text.removesuffix("\n").split("\n")


def _content(token: Any) -> str | None:
    """A special token is written as a string, or as an object that holds it."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _padding(definition: dict[str, Any], token: str) -> dict[str, Any] | None:
    ids = {added["content"]: added["id"] for added in definition.get("added_tokens", [])}
    vocabulary = definition.get("model", {}).get("vocab")
    number = ids.get(token, vocabulary.get(token) if isinstance(vocabulary, dict) else None)
    if number is None:
        return definition.get("padding")
    return {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": number,
        "pad_type_id": 0,
        "pad_token": token,
    }
