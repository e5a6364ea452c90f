"""Where encoders come from: folders, the Hugging Face hub, presets of keras-hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfrec.errors import UserError
from tfrec.text.architecture import Architecture
from tfrec.text.tokenizer_files import pair

_HUB, _PRESET = "hf:", "keras:"
# Of the many formats that a repository holds.
_FILES = ["*.json", "*.txt", "model*.safetensors"]
_BACKBONES = ("BertBackbone", "DistilBertBackbone", "RobertaBackbone", "GPT2Backbone")


def is_preset(where: str) -> bool:
    """Whether a preset of keras-hub is meant."""
    return where.startswith(_PRESET)


def download(where: str) -> Path:
    """The folder itself, or that of "hf:<id>" after a download into Hugging Face's cache.

    Raises:
        UserError: no such folder, or the download failed.

    Example:
        >>> download("nowhere")
        Traceback (most recent call last):
        tfrec.errors.UserError: there is no folder nowhere...
    """
    if not where.startswith(_HUB):
        folder = Path(where)
        if not folder.is_dir():
            raise UserError(
                f"there is no folder {where}. Give the folder of an encoder, or hf:{where} to "
                "download one from the Hugging Face hub"
            )
        return folder
    import huggingface_hub

    try:
        name = where.removeprefix(_HUB)
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{where} cannot be downloaded ({reason}). Check the name and the connection, or "
            "download it elsewhere and give its folder"
        ) from None


def read_preset(where: str) -> tuple[Architecture, Any, str]:
    """A preset of keras-hub: its architecture, backbone and tokenizer, the latter as JSON.

    keras-hub's tokenizer only lends its vocabulary and options (its uncased BERT keeps accents
    unless it says otherwise). The text is cut as Hugging Face's tokenizers cut it.

    Raises:
        UserError: no such preset, or of a family that is not supported.
    """
    import keras_hub  # type: ignore[import-untyped, unused-ignore]

    name = where.removeprefix(_PRESET)
    try:
        backbone = keras_hub.models.Backbone.from_preset(name)
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(name)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{where} cannot be read ({reason}). Take a preset of keras-hub, or a folder that "
            "save_to_preset wrote"
        ) from None
    kind = type(backbone).__name__
    if kind not in _BACKBONES:
        raise UserError(
            f"{where} is a {kind}, which is not supported. Supported are {', '.join(_BACKBONES)}"
        )
    config = backbone.get_config()
    known = {name: config[name] for name in _ARGUMENTS if name in config}
    architecture = Architecture(kind, known)
    # Rebuilt, so that a preset is treated as every other encoder is.
    rebuilt = architecture.build()
    rebuilt.set_weights(backbone.get_weights())
    return architecture, rebuilt, _definition(kind, tokenizer)


_ARGUMENTS = (
    "vocabulary_size",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "dropout",
    "max_sequence_length",
    "num_segments",
)


def _definition(kind: str, tokenizer: Any) -> str:
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    if kind in ("BertBackbone", "DistilBertBackbone"):
        vocabulary = {token: number for number, token in enumerate(tokenizer.vocabulary)}
        made = Tokenizer(models.WordPiece(vocabulary, unk_token=tokenizer.oov_token))
        made.normalizer = normalizers.BertNormalizer(
            lowercase=tokenizer.lowercase, strip_accents=tokenizer.strip_accents
        )
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        sep, cls = tokenizer.sep_token, tokenizer.cls_token
        made.post_processor = processors.BertProcessing(
            (sep, vocabulary[sep]), (cls, vocabulary[cls])
        )
        special = [tokenizer.oov_token, tokenizer.pad_token, tokenizer.mask_token, sep, cls]
    else:
        merges = [pair(merge) for merge in tokenizer.merges]
        made = Tokenizer(models.BPE(dict(tokenizer.vocabulary), merges))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        special = [tokenizer.end_token]
        if kind == "RobertaBackbone":
            numbers = dict(tokenizer.vocabulary)
            end, start = tokenizer.end_token, tokenizer.start_token
            made.post_processor = processors.RobertaProcessing(
                (end, numbers[end]), (start, numbers[start])
            )
            special += [start, tokenizer.pad_token, tokenizer.mask_token]
            # A token to Hugging Face, which keras-hub has no name for.
            special += [token for token in ("<unk>",) if token in numbers]
    mask = getattr(tokenizer, "mask_token", None)
    left = kind == "RobertaBackbone"
    made.add_special_tokens(
        [AddedToken(token, lstrip=left and token == mask) for token in dict.fromkeys(special)]
    )
    pad = getattr(tokenizer, "pad_token_id", None)
    if pad is not None:
        made.enable_padding(pad_id=int(pad), pad_token=made.id_to_token(int(pad)))
    return str(made.to_str())
