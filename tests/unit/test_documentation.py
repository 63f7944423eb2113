"""The documentation says what the code does: settings, error codes, requests, files."""

from __future__ import annotations

import ast
import base64
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.template.template import load

from bucketlens.edge import requests
from bucketlens.edge.http import parse_request
from bucketlens.settings import Settings

ROOT = Path(__file__).parents[2]
SPEC, README = (ROOT / name for name in ("shared/README.md", "README.md"))
CODE = sorted((ROOT / "shared/bucketlens").rglob("*.py"))
OUTSIDE = {
    "MODEL_VARIANT": "the bundle's own",
    "AWS_ENDPOINT_URL": "AWS",
    "PUBLIC_ENDPOINT_URL": "AWS",
}
"""Variables that are read beside the settings, and the defaults the table gives them."""
STANDARD = {"AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}
"""Variables of the AWS SDKs, which document them."""


def section(title: str) -> str:
    """The specification from a heading to the next one of any level."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ )", SPEC.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"the specification has no section {title}"
    return found.group(1)


def cells(title: str) -> Iterator[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def words(text: str) -> list[str]:
    """What stands in backticks, but for blocks of code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def stated(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}" if default < 10_000 else str(int(default))
        case int():
            return f"{default:,}"
        case tuple():
            return ",".join(f"{prefix}={name}" for prefix, name in default)
        case "":
            return "embedded default"
    return str(default)


def test_every_setting_is_documented_with_its_true_default_and_nothing_else_is() -> None:
    documented: dict[str, str] = {}
    for names, defaults, _ in cells("Settings"):
        listed = words(names)
        values = defaults.split(", ") if len(listed) > 1 else [defaults]
        documented |= dict(zip(listed, values * (len(listed) if len(values) == 1 else 1), strict=True))
    read = {field.name.upper(): field.default for field in dataclasses.fields(Settings)}
    true = {name: stated(default) for name, default in read.items() if default is not dataclasses.MISSING}
    assert {name: text.strip("`") for name, text in documented.items()} == {"BUCKET": "(required)", **true, **OUTSIDE}


def test_every_variable_of_the_environment_is_documented() -> None:
    asked = {
        name
        for path in CODE
        if path.parent.name != "local"  # an environ there is WSGI's
        for name in re.findall(r"""(?:environ(?:\.get)?|take)[(\[]["']([A-Z][A-Z_]+)["']""", path.read_text())
    }
    told = set(words(SPEC.read_text() + README.read_text()))
    assert asked - STANDARD <= told
    assert set(OUTSIDE) <= asked


def raised() -> set[str]:
    """Every code that an error of ours may carry: ``code="..."`` in a call, ``default_code``, and named constants."""
    found = set[str]()
    for path in CODE:
        tree = ast.parse(path.read_text())
        named = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "default_code":
                given = [node.value]
            else:
                continue
            for part in (part for value in given for part in ast.walk(value)):
                value = named.get(part.id) if isinstance(part, ast.Name) else getattr(part, "value", None)
                found |= {value} if isinstance(value, str) else set()
    return found


def test_every_error_code_is_documented_and_every_documented_one_can_be_raised() -> None:
    documented = {code for _, codes in cells("Error codes") for code in words(codes)}
    assert documented == raised()


def routes() -> list[tuple[str, str]]:
    return [tuple(words(request)[0].split(" ")) for request, _ in cells("HTTP")]  # type: ignore[misc]


def test_every_route_of_the_deployment_is_documented_and_every_documented_one_is_accepted() -> None:
    events = load()["Resources"]["QueryFunction"]["Properties"]["Events"].values()
    deployed = {(event["Properties"]["Method"], event["Properties"]["Path"]) for event in events}
    assert set(routes()) == deployed
    for method, path in routes():
        named = path.format(**{"collection": "default", "key+": "images/a.jpg"})
        event: dict[str, object] = {"rawPath": named, "requestContext": {"http": {"method": method}}}
        if path.endswith("/search") and method == "GET":
            event["queryStringParameters"] = {"q": "a"}
        elif method == "POST":
            event |= {"body": base64.b64encode(b'{"text": "a"}').decode(), "isBase64Encoded": True}
        assert parse_request(event)


@pytest.mark.parametrize(
    ("route", "accepted"),
    [
        ("POST /collections/{collection}/search", (*requests._SUBJECTS, *requests._OPTIONS)),
        ("GET /collections/{collection}/search", ("q", "key", *requests._OPTIONS)),
    ],
)
def test_every_field_of_a_search_is_documented_and_every_documented_one_is_accepted(
    route: str, accepted: tuple[str, ...]
) -> None:
    (said,) = [answer for request, answer in cells("HTTP") if words(request)[0] == route]
    assert set(words(said)) - {"strong", "eventual"} == set(accepted)


def test_every_file_that_the_readme_shows_exists() -> None:
    text = README.read_text()
    tour = re.search(r"^## What is where\n(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE)
    assert tour
    for name in [name for line in tour.group(1).splitlines() for name in words(line.split(" | ")[0])]:
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([^)#:]+)", text + SPEC.read_text()):
        assert any((base / link).exists() for base in (ROOT, SPEC.parent)), link
    for name in re.findall(r"-e (events/[\w.-]+)", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"python -m (tests\.[\w.]+)", text + SPEC.read_text()):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
