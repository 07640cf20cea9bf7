"""From the YAML node tree to the fields of the config model, remembering the line of every key.

The rule: no error without file, line and key, and an unknown key is answered with the nearest valid
one. Scalars are handed on as the text that stands in the file, so that `hostname: 0123` stays `0123`
as in LiteFS; the model's types turn them into what they mean. What people paste has white space round it: it
goes, but from names of files, where it means something.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import get_args, get_origin

import yaml
from pydantic import ValidationError

from pylitefs.config.expand import HOW, NOTHING, Expanded
from pylitefs.config.merge import MergeError, Pair, pairs
from pylitefs.config.model import Config, ExecCommand, LogConfig, Section
from pylitefs.errors import ConfigError

#: Field names and list indexes from the root, as pydantic reports them: ("lease", "advertise_url").
Place = tuple[str | int, ...]
_Value = str | list["_Value"] | dict[str, "_Value"]

#: Names of files and directories, and commands: white space at their ends is theirs.
_AS_IT_IS = {"dir", "path", "db", "databases", "cmd"}
_BROKEN_SECTIONS = 8
"""In a file that is no YAML: of so many sections at its end one may be where that begins."""


def key_of(place: Place) -> str:
    """The place as people write it: `lease.advertise-url`, `exec[0].cmd`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else "." * bool(text) + step.replace("_", "-")
    return text


def all_keys(model: type[Section] = Config, below: Place = ()) -> Iterator[str]:
    """Every valid key, dotted, in the model's order."""
    for name, info in model.model_fields.items():
        place = (*below, name)
        section = _section(info.annotation)
        if section is None:
            yield key_of(place)
        else:
            yield from all_keys(section, place)


def _section(annotation: object) -> type[Section] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


@dataclass
class Reader:
    """Reads one file's node tree; `lines` then has the line of every key that is there."""

    path: Path
    expanded: Expanded
    on_log: Callable[[LogConfig], None] = lambda log: None
    """Told what the file says of the log, before anything else in it is judged."""
    lines: dict[Place, int] = field(default_factory=dict)

    def read(self) -> Config:
        """The file's config. Raises ConfigError for anything LiteFS would not take."""
        try:
            root = yaml.compose(self.expanded.text, Loader=yaml.SafeLoader)
        except RecursionError:
            raise ConfigError(f"{self.path}: nested too deeply: no key is more than 3 levels deep") from None
        except yaml.MarkedYAMLError as error:
            if (readable := _before(self.expanded.text, error.problem_mark)) is not None:
                self.on_log(_log_config(readable))
            raise self._error(self._line(error.problem_mark), f"not YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not YAML: {' '.join(str(error).split())}") from None
        if root is None or _is_null(root):
            return Config()
        self.on_log(_log_config(root))
        values = self._mapping(root, Config, ())
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            raise self._invalid(error) from None

    def error(self, place: Place, text: str) -> ConfigError:
        """An error about the key at `place`, or about its section where the key itself is not written."""
        line = next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), 0)
        return self._error(line, f"{key_of(place)}: {text}")

    def warnings(self) -> Iterator[str]:
        """A line for each expression that became nothing."""
        for line, forms in self.expanded.unread.items():
            for form in forms:
                what = f"cannot read the expression {form}: it became nothing, as in LiteFS"
                yield f"{self.path}:{line}: {what}; {HOW}"

    def _error(self, line: int, text: str) -> ConfigError:
        if (forms := self.expanded.unread.get(line)) and forms[0] not in text:
            text += f"; {', '.join(forms)} became nothing"
        return ConfigError(f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}")

    def _line(self, mark: yaml.Mark | None) -> int:
        if mark is None:
            return 0
        return self.expanded.lines[min(mark.line, len(self.expanded.lines) - 1)]

    def _mapping(self, node: yaml.Node, model: type[Section], place: Place) -> dict[str, _Value]:
        if not isinstance(node, yaml.MappingNode):
            where = f"{key_of(place)}: " if place else ""
            raise self._error(self._line(node.start_mark), f"{where}must hold keys below it")
        names = {name.replace("_", "-"): name for name in model.model_fields}
        values: dict[str, _Value] = {}
        seen: set[str] = set()
        for key_node, value_node, merged in self._pairs(node, place):
            key, line = str(key_node.value), self._line(key_node.start_mark)
            if key not in names:
                hint = _nearest(key, model, place)
                hint += f" (merged by << on line {self._line(merged)})" if merged else ""
                raise self._error(line, f"{key_of(place)}{'.' * bool(place)}{key}: unknown key; {hint}")
            here = (*place, names[key])
            if key in seen:
                raise self._error(line, f"{key_of(here)}: given twice, first on line {self.lines[here]}")
            seen.add(key)
            self.lines[here] = line
            if not _is_null(value_node):
                values[names[key]] = self._value(value_node, model.model_fields[names[key]].annotation, here)
        return values

    def _pairs(self, node: yaml.MappingNode, place: Place) -> Iterable[Pair]:
        try:
            return pairs(node)
        except MergeError as error:
            where = f"{key_of(place)}: " if place else ""
            raise self._error(self._line(error.mark), f"{where}{error}") from None

    def _value(self, node: yaml.Node, annotation: object, place: Place) -> _Value:
        section = _section(annotation)
        if section is not None:
            return self._mapping(node, section, place)
        if get_origin(annotation) is not tuple:
            if isinstance(node, yaml.ScalarNode):
                return self._text(node, place)
            raise self.error(place, "must be a single value")
        if place == ("exec",) and isinstance(node, yaml.ScalarNode):
            return [{"cmd": self._text(node, place)}]
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(place, "must be a list")
        item = ExecCommand if place == ("exec",) else get_args(annotation)[0]
        return [self._value(one, item, (*place, index)) for index, one in enumerate(node.value)]

    def _text(self, node: yaml.ScalarNode, place: Place) -> str:
        text = str(node.value)
        if "\0" in text:
            raise self.error(place, "holds a NUL, which no path, address or name can hold: take it out")
        if NOTHING in text:
            text = text.replace(NOTHING, "")
            if not text.strip():
                line = self._line(node.start_mark)
                form = ", ".join(self.expanded.unread.get(line, ["${"]))
                raise self._error(line, f"{key_of(place)}: cannot read the expression {form}: {HOW}")
        return text if _AS_IT_IS & set(place) else text.strip()

    def _invalid(self, error: ValidationError) -> ConfigError:
        first = error.errors()[0]
        given = f"{first['input']!r} is not valid: " if isinstance(first["input"], str) else ""
        match first["type"]:
            case "bool_parsing" | "bool_type":
                wanted = "write true or false"
            case "int_parsing" | "int_type":
                wanted = "write a whole number"
            case "literal_error":
                choices = first["ctx"]["expected"].replace("'', ", "")
                near = get_close_matches(str(first["input"]), choices.replace("'", "").split(" or "), 1)
                wanted = f"write {choices}" + (f"; did you mean {near[0]}?" if near else "")
            case _:
                given, wanted = "", first["msg"].removeprefix("Value error, ")
        return self.error(first["loc"], given + wanted)


def _log_config(root: yaml.Node) -> LogConfig:
    """What the file says of the log, as far as that can be read; what is wrong in it is told later."""
    found: dict[str, str] = {}
    for key, section in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "log" and isinstance(section, yaml.MappingNode):
            for inner, value in section.value:
                with contextlib.suppress(ValidationError):
                    LogConfig.model_validate({str(inner.value): value.value})
                    found[str(inner.value)] = value.value
    return LogConfig.model_validate(found)


def _before(text: str, mark: yaml.Mark | None) -> yaml.Node | None:
    """The whole sections before the one that is no YAML."""
    lines = text.split("\n")[: mark.line + 1 if mark else 0]
    starts = [number for number, line in enumerate(lines) if line[:1].strip() not in {"", "#", "}", "]"}]
    for start in starts[: -_BROKEN_SECTIONS - 1 : -1]:
        with contextlib.suppress(yaml.YAMLError, RecursionError):
            return yaml.compose("\n".join(lines[:start]), Loader=yaml.SafeLoader)
    return None


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _nearest(key: str, model: type[Section], place: Place) -> str:
    """What to write instead: a key spelled alike here, the same key in another section, or the choice."""
    here = [name.replace("_", "-") for name in model.model_fields]
    plain = key.lower().replace("_", "-")
    if close := get_close_matches(plain, here, 1):
        return f"did you mean {key_of((*place, close[0]))}?"
    elsewhere = {one.rsplit(".", 1)[-1]: one for one in reversed(list(all_keys()))}
    if close := get_close_matches(plain, elsewhere, 1):
        return f"did you mean {elsewhere[close[0]]}?"
    return f"valid here: {', '.join(here)}"
