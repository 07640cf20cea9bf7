"""From the YAML node tree to the fields of the config model, remembering the line of every key.

The rule: no error without file, line and key, and an unknown key is answered with the nearest valid
one. Scalars are handed on as the text that stands in the file, so that `hostname: 0123` stays `0123`
as in LiteFS; the model's types turn them into what they mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import get_args, get_origin

import yaml
from pydantic import ValidationError

from pylitefs.config.model import Config, ExecCommand, Section
from pylitefs.errors import ConfigError

#: Field names and list indexes from the root, as pydantic reports them: ("lease", "advertise_url").
Place = tuple[str | int, ...]
_Value = str | list["_Value"] | dict[str, "_Value"]


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
    expanded_lines: list[int]
    """The line in the file for each line of the expanded text."""
    lines: dict[Place, int] = field(default_factory=dict)

    def read(self, text: str) -> Config:
        """The config in `text`. Raises ConfigError for anything LiteFS would not take."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except RecursionError:
            raise ConfigError(f"{self.path}: nested too deeply: no key is more than 3 levels deep") from None
        except yaml.MarkedYAMLError as error:
            raise self._error(self._line(error.problem_mark), f"not YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not YAML: {' '.join(str(error).split())}") from None
        if root is None or _is_null(root):
            return Config()
        values = self._mapping(root, Config, ())
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            raise self._invalid(error) from None

    def error(self, place: Place, text: str) -> ConfigError:
        """An error about the key at `place`, or about its section where the key itself is not written."""
        line = next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), 0)
        return self._error(line, f"{key_of(place)}: {text}")

    def _error(self, line: int, text: str) -> ConfigError:
        return ConfigError(f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}")

    def _line(self, mark: yaml.Mark | None) -> int:
        if mark is None:
            return 0
        return self.expanded_lines[min(mark.line, len(self.expanded_lines) - 1)]

    def _mapping(self, node: yaml.Node, model: type[Section], place: Place) -> dict[str, _Value]:
        if not isinstance(node, yaml.MappingNode):
            where = f"{key_of(place)}: " if place else ""
            raise self._error(self._line(node.start_mark), f"{where}must hold keys below it")
        names = {name.replace("_", "-"): name for name in model.model_fields}
        values: dict[str, _Value] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key, line = str(key_node.value), self._line(key_node.start_mark)
            if key not in names:
                hint = _nearest(key, model, place)
                raise self._error(line, f"{key_of(place)}{'.' * bool(place)}{key}: unknown key; {hint}")
            here = (*place, names[key])
            if key in seen:
                raise self._error(line, f"{key_of(here)}: given twice, first on line {self.lines[here]}")
            seen.add(key)
            self.lines[here] = line
            if not _is_null(value_node):
                values[names[key]] = self._value(value_node, model.model_fields[names[key]].annotation, here)
        return values

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
        return text

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
