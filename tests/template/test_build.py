"""What is shipped: valid for SAM and CloudFormation, small enough for Lambda, compiled, and of use there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.template.build import built, sam, weight
from tests.template.template import PATH, ROOT, load, resources

LIMIT = 250 * 1024 * 1024
"""Bytes that a function and its layers may have unzipped (Lambda quotas, read 2026-11)."""

EXPAND = """
import json, sys
from samcli.yamlhelper import yaml_parse
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
template = yaml_parse(open(sys.argv[1]).read())
for resource in template["Resources"].values():
    for name in ("CodeUri", "ContentUri"):
        if name in resource.get("Properties", {}):
            resource["Properties"][name] = "s3://bucket/key"
parameters = {name: value["Default"] for name, value in template["Parameters"].items()}
print(json.dumps(Translator({}, Parser()).translate(template, parameters)))
"""


def test_cfn_lint_finds_nothing_in_the_template() -> None:
    done = run(str(Path(sys.executable).with_name("cfn-lint")), str(PATH))

    assert done.returncode == 0, done.stdout


def test_sam_finds_the_template_valid() -> None:
    done = run(str(sam()), "validate", "--lint", "--template", str(PATH), "--region", "eu-central-1")

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route_that_reaches_cloudformation_asks_for_a_signature(expanded: dict[str, Any]) -> None:
    (api,) = resources(expanded, "AWS::ApiGatewayV2::Api").values()
    schemes = api["Body"]["components"]["securitySchemes"]
    security = {
        f"{method.upper()} {path}": operation["security"]
        for path, operations in api["Body"]["paths"].items()
        for method, operation in operations.items()
    }

    assert schemes["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert len(security) == 7
    assert all(asked == [{"AWS_IAM": []}] for asked in security.values())


def test_only_this_api_may_call_the_query_function(expanded: dict[str, Any]) -> None:
    permissions = resources(expanded, "AWS::Lambda::Permission").values()

    assert permissions
    assert {permission["Principal"] for permission in permissions} == {"apigateway.amazonaws.com"}
    assert all("${__ApiId__}" in json.dumps(permission["SourceArn"]) for permission in permissions)


def test_sam_adds_no_role_of_its_own_except_the_schedules(expanded: dict[str, Any]) -> None:
    roles = set(resources(expanded, "AWS::IAM::Role"))

    assert roles == {"IngestRole", "QueryRole", "CompactRole", "CompactFunctionScheduleRole"}


@pytest.mark.parametrize("function", ["ingest", "query", "compact"])
def test_a_function_and_its_layers_fit_into_lambda(function: str) -> None:
    layers = [weight(built() / layer) for layer in resources(load(), "AWS::Serverless::LayerVersion")]

    assert len(layers) == 3
    assert sum(layers) + weight(ROOT / "functions" / function) < LIMIT


def test_every_module_is_shipped_with_bytecode_that_is_never_checked_against_its_source() -> None:
    for layer in ("DepsLayer", "CodeLayer"):
        sources = list((built() / layer / "python").rglob("*.py"))
        bare = [path for path in sources if not bytecode(path).exists()]

        assert sources
        assert bare == []
        assert {bytecode(path).read_bytes()[4:8] for path in sources} == {(1).to_bytes(4, "little")}


def test_no_wheel_asks_for_a_newer_glibc_than_lambda_has() -> None:
    tags = [
        line.removeprefix("Tag: ")
        for wheel in (built() / "DepsLayer/python").glob("*.dist-info/WHEEL")
        for line in wheel.read_text().splitlines()
        if line.startswith("Tag: ")
    ]
    glibc = [int(tag.split("manylinux_2_")[1].split("_")[0]) for tag in tags if "manylinux_2_" in tag]

    assert len(tags) > 10
    assert max(glibc) <= 34


def test_the_code_layer_holds_what_functions_import_and_no_local_server() -> None:
    shipped = {path.name for path in (built() / "CodeLayer/python/bucketlens").iterdir()}

    assert {"handlers", "pipelines", "store", "settings.py"} <= shipped
    assert not {"local", "commands", "cli.py", "embedded"} & shipped


def test_the_model_layer_is_the_embedded_bundle() -> None:
    mounted, bundle = built() / "ModelLayer/model", ROOT / "layers/model/bundle"

    assert contents(mounted) == contents(bundle)
    assert "config.json" in contents(mounted)


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    """The template as SAM's transform hands it to CloudFormation."""
    python = sam().parent / "python"
    if not python.exists():
        pytest.skip("the SAM CLI has no Python of its own: run 'make sam'")
    done = run(str(python), "-c", EXPAND, str(PATH))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def bytecode(source: Path) -> Path:
    return source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"


def contents(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environ, cwd=ROOT)
