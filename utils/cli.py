"""Command line from a dataclass: each field is a flag, the string under it is its help, its type the flag's type.

A field that is a dataclass itself (a model's config) is flattened; a name that occurs twice is an error.  Dashes and
underscores in flags are interchangeable, `--config opt.json` gives values that the flags override.
"""

import argparse
import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import math
import os
import sys
import types
import typing
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Protocol, TypeVar, Union

from lamp.utils.errors import UserError, brief, naming, told
from lamp.utils.files import read_json, write_json
from lamp.utils.packages import need


class Dataclass(Protocol):
    """Any instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


Options = TypeVar("Options", bound=Dataclass)

_LONGEST_LITERAL = 1000
"""Characters of a value of an `opt.txt` that may be more than text."""
_LARGEST = 2**63
"""Integers must be smaller, in amount: random generators and tensors take no larger ones."""
TRANSIENT = {"transient": True}
"""Field metadata of what concerns one call of a script only (resume, overwrite) and is not saved with the options."""


IDLE = {**TRANSIENT, "idle": True}
"""Field metadata of a flag of older commands that does nothing: not in the help, accepted with one line."""


def positional(metavar: str) -> dict[str, Any]:
    """Field metadata of what is given by its place, without a flag; the help calls it `metavar`."""
    return {**TRANSIENT, "positional": metavar}


@dataclasses.dataclass(frozen=True)
class Shorthand:
    """A flag that stands for several: a class lists its own as `shorthands: ClassVar`.

    What it stands for yields to flags that are given, and wins over a `--config` file. It is no option itself and not
    saved: the options that it stands for are.

    Attributes:
        name: of the flag.
        help: its help text.
        values: for each choice the fields' values.
    """

    name: str
    help: str
    values: dict[str, dict[str, Any]]


def alias(*spellings: str) -> dict[str, Any]:
    """Field metadata that gives a flag further spellings: `field(default=0.2, metadata=alias("--drop_prob"))`."""
    return {"alias": spellings}


def nested(config: type, skip: Sequence[str] = (), **defaults: Any) -> Any:
    """Field holding a flattened `config`; its fields in `skip` get no flag, `defaults` replace the config's own."""
    return dataclasses.field(default_factory=lambda: config(**defaults), metadata={"skip": tuple(skip)})


def parse(options: type[Options], argv: Sequence[str] | None = None) -> Options:
    """Read `argv` (default: the process's own) into `options`; mistakes end the process with one line and code 2.

    Raises:
        UserError: a package is not installed that these options need (their property `packages`, if they have one).
    """
    flags = {flag.name: flag for flag in _flags(options)}
    parser = _Parser(
        description=_first_line(options),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--config", metavar="FILE", help="opt.json (or a public opt.txt) with values; flags win over it"
    )
    groups = {title: parser.add_argument_group(title) for title in dict.fromkeys(flag.group for flag in flags.values())}
    spelled = {"__config": "--config", "__help": "--help"}
    for flag in flags.values():
        if not flag.hidden:
            action = flag.add_to(groups[flag.group])
            spelled.update({spelling.replace("-", "_"): spelling for spelling in action.option_strings})
    shorthands: Sequence[Shorthand] = getattr(options, "shorthands", ())
    for short in shorthands:
        parser.add_argument(f"--{short.name}", choices=list(short.values), help=short.help)
        spelled[f"__{short.name}"] = f"--{short.name}"
    words = [_respell(word, spelled) for word in (sys.argv[1:] if argv is None else argv)]
    known, rest = parser.parse_known_args(words)
    try:
        if rest:
            close = difflib.get_close_matches(rest[0].replace("-", "_"), spelled, n=1)
            raise UserError(f"unknown argument {rest[0]}" + (f"; did you mean {spelled[close[0]]}?" if close else ""))
        given = vars(known)
        config = given.pop("config", None)
        values = _read_values(flags, config) if config else {}
        for short in shorthands:
            values |= short.values.get(given.pop(short.name, ""), {})
        result = _build(options, flags, values | given)
    except (UserError, ValueError) as error:
        parser.error(str(error))
    need(*getattr(result, "packages", ()))
    if idle := [f"--{name}" for name in given if flags[name].idle]:
        print(f"note: without effect here: {', '.join(idle)}", file=sys.stderr)
    return result


def flatten(options: Dataclass) -> dict[str, Any]:
    """Values of `options` by flag name, those of nested dataclasses included."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            values = {**flatten(value), **values}
        else:
            values[field.name] = value
    return values


def print_options(options: Dataclass) -> None:
    """Print the options a script runs with, one a line (first process only)."""
    if int(os.environ.get("RANK", 0)) == 0:
        values = flatten(options)
        width = max(map(len, values))
        print("\n".join(f"{name:<{width}}  {value}" for name, value in values.items()), flush=True)


def save_options(options: Dataclass, path: str | Path) -> None:
    """Write `options` as flat JSON, which `--config` and `load_options` read; `TRANSIENT` fields are left out."""
    transient = {field.name for field in dataclasses.fields(options) if field.metadata.get("transient")}
    values = {name: value for name, value in flatten(options).items() if name not in transient}
    write_json(path, {name: str(value) if isinstance(value, Path) else value for name, value in values.items()})


def load_options(options: type[Options], path: str | Path) -> Options:
    """Read what `save_options` wrote, or a public system's `opt.txt` (its entries that we do not have are ignored)."""
    flags = {flag.name: flag for flag in _flags(options)}
    with naming(path):
        try:
            return _build(options, flags, _read_values(flags, path))
        except ValueError as error:
            raise UserError(brief(error)) from error


def read_opt_txt(path: str | Path) -> dict[str, Any]:
    """Read the `key: value` lines of a public system's `opt.txt`; numbers, booleans, lists and None become values."""
    values: dict[str, Any] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, colon, text = (part.strip() for part in line.partition(":"))
        if colon and not line.startswith("-"):
            values[key] = _literal(text)
    return values


def _literal(text: str) -> Any:
    """The number, list, ... that a text is, or the text."""
    if len(text) > _LONGEST_LITERAL:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of text that is nearly a number
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


class _Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {told(message)} (see --help)\n")


@dataclasses.dataclass
class _Flag:
    """One field as a flag; the type hint `kind` is taken apart into item type, container, choices and optional."""

    name: str
    kind: Any
    default: Any
    help: str
    group: str
    aliases: tuple[str, ...]
    hidden: bool = False
    idle: bool = False
    place: str = ""

    def __post_init__(self) -> None:
        self.optional = typing.get_origin(self.kind) in (Union, types.UnionType)
        if self.optional:
            self.kind = next(kind for kind in typing.get_args(self.kind) if kind is not type(None))
        self.container = typing.get_origin(self.kind) if typing.get_origin(self.kind) in (list, tuple) else None
        if self.container:
            self.kind = typing.get_args(self.kind)[0]
        self.choices = typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else ()
        self.item = type(self.choices[0]) if self.choices else self.kind

    def add_to(self, group: argparse._ActionsContainer) -> argparse.Action:
        """Add the flag to an argparse group."""
        note = "required" if self.default is dataclasses.MISSING else f"default: {self.default}"
        text = f"{self.help} ({note})".strip().replace("%", "%%")
        common: dict[str, Any] = {"dest": self.name, "help": argparse.SUPPRESS if self.idle else text}
        if self.item is bool:
            common["action"] = argparse.BooleanOptionalAction
        else:
            common["metavar"] = (
                "{" + ",".join(map(str, self.choices)) + "}" if self.choices else self.item.__name__.upper()
            )
            common["nargs"] = "+" if self.container else None
        if self.place:
            return group.add_argument(self.name, metavar=self.place, nargs=common["nargs"], help=text)
        return group.add_argument(f"--{self.name}", *self.aliases, **common)

    def convert(self, value: Any) -> Any:
        """Bring a word of the command line or a value of a file to the field's type."""
        if self.container and isinstance(value, (list, tuple)) and not (self.optional and list(value) == ["none"]):
            return self.container(self._item(item) for item in value)
        if self.optional and (value is None or value in ("none", ["none"])):
            return None
        return self.container([self._item(value)]) if self.container else self._item(value)

    def _item(self, value: Any) -> Any:
        wrong = isinstance(value, bool) != (self.item is bool) or (isinstance(value, float) and self.item is int)
        # Files have values of any type, and anything has a text.
        wrong = wrong or (self.item is str and not isinstance(value, str | int | float))
        try:
            result = None if wrong or value is None else self.item(value)
        except (TypeError, ValueError, OverflowError):
            result = None
        if result is None:
            raise UserError(f"--{self.name}: {brief(repr(value), 60)} is not of type {self.item.__name__}")
        if (self.item is float and not math.isfinite(result)) or (self.item is int and abs(result) >= _LARGEST):
            raise UserError(f"--{self.name}: {brief(repr(value), 60)} is too large, or no number")
        if self.choices and result not in self.choices:
            raise UserError(f"--{self.name}: {brief(repr(value), 60)} is none of {', '.join(map(str, self.choices))}")
        return result


def _flags(options: type) -> Iterator[_Flag]:
    """Flags of a dataclass, those of nested dataclasses included."""
    flags = list(_all_flags(options, instance=None, skip=()))
    seen: set[str] = set()
    # A skipped field may share its name with an option: it follows that one.
    for flag in sorted(flags, key=lambda flag: flag.hidden):
        if flag.name in seen and not flag.hidden:
            raise TypeError(f"{options.__name__} has two flags --{flag.name}; rename one of the fields")
        if flag.name not in seen:
            seen.add(flag.name)
            yield flag


def _all_flags(options: type, instance: Dataclass | None, skip: Sequence[str]) -> Iterator[_Flag]:
    hints, helps = typing.get_type_hints(options), _help_texts(options)
    for field in dataclasses.fields(options):
        if not field.init:
            continue
        default = field.default if instance is None else getattr(instance, field.name)
        if instance is None and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            yield from _all_flags(type(default), instance=default, skip=field.metadata.get("skip", ()))
            continue
        owner = next(base for base in reversed(options.__mro__) if field.name in inspect.get_annotations(base))
        text = field.metadata.get("help", helps.get(field.name, ""))
        aliases, hidden = field.metadata.get("alias", ()), field.name in skip
        idle, place = field.metadata.get("idle", False), field.metadata.get("positional", "")
        yield _Flag(field.name, hints[field.name], default, text, _first_line(owner), aliases, hidden, idle, place)


@functools.cache
def _help_texts(options: type) -> dict[str, str]:
    """The string literal under each field, over the class and its bases."""
    texts: dict[str, str] = {}
    for base in reversed(options.__mro__[:-1]):
        (definition,) = ast.parse(inspect.cleandoc(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in itertools.pairwise(definition.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                texts[field.target.id] = " ".join(str(below.value.value).split())
    return texts


def _first_line(options: type) -> str:
    return (options.__doc__ or options.__name__).strip().splitlines()[0].rstrip(".")


def _respell(word: str, spelled: dict[str, str]) -> str:
    """Bring a flag to the spelling argparse knows, dashes for underscores or the other way round."""
    name, equals, value = word.partition("=")
    return spelled.get(name.replace("-", "_"), name) + equals + value if word.startswith("--") else word


def _read_values(flags: dict[str, _Flag], path: str | Path) -> dict[str, Any]:
    """Values of an `opt.json` or `opt.txt` by flag name."""
    if not Path(path).is_file():
        raise UserError(f"no options file {path}; check the path, or train the model again")
    names = {spelling.lstrip("-").replace("-", "_"): name for name, flag in flags.items() for spelling in flag.aliases}
    public = Path(path).suffix == ".txt"
    try:
        values = read_opt_txt(path) if public else read_json(path)
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is not a file of options: {brief(error)}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a file of options: it holds no object of names and values")
    values = {names.get(key, key): value for key, value in values.items()}
    if not public and (unknown := sorted(set(values) - set(flags))):
        raise UserError(f"{path} has unknown entries {brief(', '.join(unknown))}; it belongs to another script")
    return {key: value for key, value in values.items() if key in flags}


def _build(options: type[Options], flags: dict[str, _Flag], values: dict[str, Any]) -> Options:
    """Make the dataclass out of flat values, defaults for the rest."""
    values = {name: flags[name].convert(value) for name, value in values.items()}
    if missing := [
        f"--{name}" for name, flag in flags.items() if flag.default is dataclasses.MISSING and name not in values
    ]:
        raise UserError(f"{' '.join(missing)} must be given")
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            inner = [f.name for f in dataclasses.fields(default) if f.init]
            own = {name: values.get(name, flags[name].default) for name in inner}
            arguments[field.name] = dataclasses.replace(default, **own)
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return options(**arguments)
