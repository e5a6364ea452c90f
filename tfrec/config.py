"""Configuration: dataclasses <-> YAML <-> command-line flags.

A config is a dataclass of sections, each section a dataclass of options declared with `option`.
Flags are flat (`--k-core 5`), the YAML file is nested by section (`data: {k_core: 5}`); a flag
wins over the file, the file over the default. The resolved config is written into every run
folder and reproduces the run with `--config`.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tfrec.errors import UserError

Config = TypeVar("Config")


def option(default: Any, help: str, *, metavar: str | None = None) -> Any:
    """A field of a section: its default, what it does, and the name of its value in --help.

    The annotation gives the type: int, float, str, bool, `X | None`, a Literal, list[int],
    list[str] (comma separated) or dict[str, str] (a=b,c=d).

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Data:
        ...     k_core: int = option(0, "drop users and items with fewer events than this")
    """
    metadata = {"help": help, "metavar": metavar}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def add_flags(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Adds one flag per option of every section, grouped in --help by section."""
    for section_name, section in _sections(config).items():
        title = (section.__doc__ or section_name).strip().splitlines()[0].rstrip(".")
        group = parser.add_argument_group(title)
        hints = typing.get_type_hints(section)
        for field in dataclasses.fields(section):
            _add_flag(group, f"{section_name}.{field.name}", field, hints[field.name])


def resolve(
    config: type[Config], flags: argparse.Namespace, file: Path | str | None = None
) -> Config:
    """The config that defaults, the YAML file and the given flags make together.

    Raises:
        UserError: the file cannot be read, or holds a section, option or value that does not
            exist; the message names the nearest known one.
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in _sections(config)}
    if file is not None:
        for section_name, options in _read_yaml(Path(file)).items():
            section = _sections(config).get(section_name)
            if section is None:
                raise UserError(
                    f"{file}: unknown section {section_name!r}"
                    + _nearest(section_name, _sections(config))
                )
            values[section_name].update(_section_from_yaml(section, options, file, section_name))
    for dotted, value in vars(flags).items():
        section_name, _, name = dotted.partition(".")
        if name and section_name in values:
            values[section_name][name] = value
    return config(**{name: section(**values[name]) for name, section in _sections(config).items()})


def to_yaml(config: Any) -> str:
    """The resolved config as YAML, nested by section, in the order of declaration."""
    import yaml

    options = dataclasses.asdict(config)
    text: str = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    if yaml.safe_load(text) != options:
        # PyYAML writes some line breaks of Unicode (U+0085) as they are and reads them as spaces.
        text = yaml.safe_dump(options, sort_keys=False)
    return text


def _sections(config: type[Any]) -> dict[str, type[Any]]:
    return {field.name: typing.get_type_hints(config)[field.name] for field in _fields(config)}


def _fields(config: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(config)


def _add_flag(
    group: argparse._ArgumentGroup, dest: str, field: dataclasses.Field[Any], hint: Any
) -> None:
    flag = "--" + field.name.replace("_", "-")
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    # argparse reads % as a format.
    text = field.metadata["help"].replace("%", "%%")
    if default not in (None, [], {}, ""):
        text += f" (default {_show(default)})".replace("%", "%%")
    # SUPPRESS: only flags that were really given may win over the file.
    common: dict[str, Any] = {"dest": dest, "default": argparse.SUPPRESS, "help": text}
    kind = _plain(hint)
    if kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif typing.get_origin(kind) is typing.Literal:
        group.add_argument(flag, choices=typing.get_args(kind), **common)
    else:
        metavar = field.metadata["metavar"] or field.name.upper().split("_")[-1]
        group.add_argument(flag, type=_parser(kind), metavar=metavar, **common)


def _plain(hint: Any) -> Any:
    """`X | None` -> X."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def _parser(kind: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:

        def parse_list(text: str) -> list[Any]:
            return [inner[0](part.strip()) for part in text.split(",") if part.strip()]

        parse_list.__name__ = f"comma-separated {inner[0].__name__} list"
        return parse_list
    if origin is dict:

        def parse_pairs(text: str) -> dict[str, str]:
            pairs = [part.partition("=") for part in text.split(",") if part.strip()]
            if any(not equals for _, equals, _ in pairs):
                raise argparse.ArgumentTypeError(f"expected name=value,name=value, got {text!r}")
            return {name.strip(): value.strip() for name, _, value in pairs}

        return parse_pairs
    return kind


def _show(default: Any) -> str:
    if isinstance(default, list):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(loaded or {}, dict):
        raise UserError(
            f"{path}: expected sections (data:, model:, …), found {type(loaded).__name__}"
        )
    return loaded or {}


def _section_from_yaml(
    section: type[Any], options: Any, file: Path | str, section_name: str
) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise UserError(f"{file}: section {section_name!r} must hold option: value lines")
    hints = typing.get_type_hints(section)
    for name, value in options.items():
        if name not in hints:
            raise UserError(f"{file}: unknown option {section_name}.{name}" + _nearest(name, hints))
        options[name] = _checked(value, hints[name], f"{file}: {section_name}.{name}")
    return options


def _checked(value: Any, hint: Any, where: str) -> Any:
    kind = _plain(hint)
    if value is None and kind is not hint:
        return None
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise UserError(f"{where} is {value!r}, expected one of {typing.get_args(kind)}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = origin or kind
    if not isinstance(value, expected) or (kind is not bool and isinstance(value, bool)):
        raise UserError(f"{where} is {value!r}, expected {getattr(kind, '__name__', kind)}")
    return value


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    match = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {match[0]!r}?" if match else ""
    return f"{hint} Known: {', '.join(known)}"
