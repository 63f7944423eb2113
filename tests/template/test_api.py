"""The HTTP API that is deployed: every route signed, nothing open to other origins, throttled and logged."""

from __future__ import annotations

from typing import Any

from tests.template.template import load, resources

TEMPLATE = load()
FUNCTIONS = resources(TEMPLATE, "AWS::Serverless::Function")
(API,) = resources(TEMPLATE, "AWS::Serverless::HttpApi").values()


def test_every_route_needs_a_signed_request() -> None:
    assert API["Auth"] == {"EnableIamAuthorizer": True, "DefaultAuthorizer": "AWS_IAM"}
    assert not [path for path, event in routes().items() if "Auth" in event]


def test_every_route_of_the_interface_is_there() -> None:
    assert set(routes()) == {
        "POST /collections/{collection}/search",
        "GET /collections/{collection}/search",
        "POST /collections/{collection}/search/image",
        "GET /collections",
        "GET /collections/{collection}",
        "GET /collections/{collection}/images/{key+}",
        "GET /health",
    }


def test_pages_of_other_origins_cannot_call_the_api_until_someone_says_so() -> None:
    cors = API["DefinitionBody"]["x-amazon-apigateway-cors"]["Fn::If"]

    assert cors[0] == "OpensCors"
    assert cors[2] == {"Ref": "AWS::NoValue"}
    assert TEMPLATE["Parameters"]["CorsOrigins"]["Default"] == ""
    assert "CorsConfiguration" not in API


def test_pictures_are_declared_binary() -> None:
    kinds = API["DefinitionBody"]["x-amazon-apigateway-binary-media-types"]

    assert {"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "multipart/form-data"} <= set(kinds)


def test_the_api_is_throttled_and_keeps_an_access_log() -> None:
    assert API["DefaultRouteSettings"].keys() == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    assert API["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLog", "Arn"]}


def routes() -> dict[str, dict[str, Any]]:
    found = (event["Properties"] for event in FUNCTIONS["QueryFunction"]["Events"].values())
    return {f"{event['Method']} {event['Path']}": event for event in found}
