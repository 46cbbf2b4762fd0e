"""What CloudFormation would create from ``template.yaml``: the SAM transform, then parameters and conditions resolved.

References to resources stay as they are (``{"Ref": "StateTable"}``): their values exist only in an account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parents[2]
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "111122223333",
    "AWS::StackName": "headgate",
    "AWS::URLSuffix": "amazonaws.com",
}
ABSENT = object()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


def load_template(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """A template as written, short tags spelled out."""
    return yaml.load(path.read_text(), _Loader)


def transform(template: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The template after the SAM transform, local sources replaced by uploaded ones as `sam deploy` does."""
    source = deepcopy(dict(template))
    for name, resource in source["Resources"].items():
        for uri in ("CodeUri", "ContentUri"):
            properties = resource.get("Properties", {})
            if uri in properties and not str(properties[uri]).startswith("s3://"):
                properties[uri] = f"s3://artifacts/{name}"
    return Translator({}, Parser()).translate(source, parameter_values=dict(parameters or {}))


def render(parameters: Mapping[str, Any] | None = None, template: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The transformed template with parameters filled in, conditions evaluated and what is conditioned away removed."""
    source = template if template is not None else load_template()
    given = dict(parameters or {})
    unknown = set(given) - set(source["Parameters"])
    assert not unknown, f"no such parameters: {unknown}"
    values = {name: given.get(name, entry["Default"]) for name, entry in source["Parameters"].items()}
    for name, entry in source["Parameters"].items():
        if entry["Type"] == "CommaDelimitedList":
            values[name] = values[name].split(",")
    return _Renderer(transform(source, given), values | PSEUDO).result()


class _Renderer:
    def __init__(self, template: dict[str, Any], values: Mapping[str, Any]) -> None:
        self._template = template
        self._values = values

    def result(self) -> dict[str, Any]:
        sections: dict[str, Any] = {}
        for section in ("Resources", "Outputs"):
            sections[section] = {
                name: self._resolve({k: v for k, v in entry.items() if k != "Condition"})
                for name, entry in self._template[section].items()
                if self._holds(entry.get("Condition"))
            }
        return sections

    def _holds(self, condition: str | None) -> bool:
        return condition is None or self._truth(self._template["Conditions"][condition])

    def _truth(self, expression: Mapping[str, Any]) -> bool:
        [(function, argument)] = expression.items()
        match function:
            case "Condition":
                return self._holds(argument)
            case "Fn::Equals":
                left, right = (str(self._resolve(side)) for side in argument)
                return left == right
            case "Fn::Not":
                return not self._truth(argument[0])
            case "Fn::And":
                return all(self._truth(part) for part in argument)
            case "Fn::Or":
                return any(self._truth(part) for part in argument)
            case _:
                raise AssertionError(f"unknown condition function {function}")

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            members = [self._resolve(member) for member in value]
            return [member for member in members if member is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Ref":
                return ABSENT if argument == "AWS::NoValue" else self._values.get(argument, value)
            if function == "Fn::If":
                return self._resolve(argument[1] if self._holds(argument[0]) else argument[2])
            if function == "Fn::Sub":
                return self._substitute(argument)
            if function == "Fn::Join":
                parts = self._resolve(argument[1])
                return (
                    argument[0].join(parts)
                    if all(isinstance(part, str) for part in parts)
                    else {function: [argument[0], parts]}
                )
        members = {name: self._resolve(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not ABSENT}

    def _substitute(self, argument: Any) -> Any:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        variables = {name: self._resolve(entry) for name, entry in variables.items()}

        def replace(found: re.Match[str]) -> str:
            name = found[1]
            value = variables.get(name, self._values.get(name))
            return str(value) if isinstance(value, str | int) else found[0]

        text = re.sub(r"\$\{([^}!]+)\}", replace, text)
        left = {name: entry for name, entry in variables.items() if "${" + name + "}" in text}
        return {"Fn::Sub": [text, left] if left else text} if "${" in text else text


def of_type(rendered: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of one type, by logical id."""
    return {name: entry.get("Properties", {}) for name, entry in rendered["Resources"].items() if entry["Type"] == kind}


def walk(value: Any) -> Iterator[Any]:
    """Every value inside a JSON value, itself included."""
    yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(member)


def references(value: Any) -> set[str]:
    """The names that a template value refers to, by Ref, GetAtt or inside Sub."""
    found: set[str] = set()
    for part in walk(value):
        if isinstance(part, dict) and len(part) == 1:
            [(function, argument)] = part.items()
            if function == "Ref":
                found.add(argument)
            elif function == "Fn::GetAtt":
                found.add(argument[0] if isinstance(argument, list) else argument.partition(".")[0])
            elif function == "Fn::Sub":
                text = argument if isinstance(argument, str) else argument[0]
                own = set() if isinstance(argument, str) else set(argument[1])
                found |= {name.partition(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", text)} - own
    return found
