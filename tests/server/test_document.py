"""The OpenAPI document, and the server held against it by requests that it makes up."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from distq.server.api import build, openapi
from distq.server.site import ServerConfig
from tests.server.conftest import ADMIN
from tests.support.apps.web import app
from tests.support.web import Web

DOCUMENT = openapi(build(app, ServerConfig()))
ENDLESS = {"/api/v1/events"}
BARE = (
    "{order}",
    "reset",
    "trigger",
    "schedules/{name}/pause",
    "schedules/{name}/resume",
    "queues/{queue}/resume",
    "session",
)
"""They take no body."""
EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, found in DOCUMENT["paths"].items() for method in found]


def test_the_document_describes_every_answer() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    for path, method in operations():
        found = DOCUMENT["paths"][path][method]
        assert found["description"], (path, method)
        if path.startswith("/api/"):
            assert {"400", "401", "403", "500", "503"} <= set(found["responses"]), (path, method)
        if method == "post" and path.startswith("/api/") and not path.endswith(BARE):
            assert found["requestBody"]["content"].keys() == {"application/json"}, path
    text = str(DOCUMENT)
    for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in DOCUMENT["components"]["schemas"], name


def test_the_server_tells_the_same_document_to_those_who_have_a_key(web: Web) -> None:
    assert web.get("/api/openapi.json").json == DOCUMENT
    assert web.as_(None).get("/api/openapi.json").status == 401


SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FEW = settings(
    max_examples=EXAMPLES or 8, deadline=None, database=None, derandomize=not EXAMPLES, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_request_brings_an_error_or_an_undocumented_answer(web: Web, mode: schemathesis.GenerationMode) -> None:
    address = f"http://127.0.0.1:{web.port}"
    for path, method in operations():
        if path in ENDLESS:
            continue

        @FEW
        @given(case=SCHEMA[path][method.upper()].as_strategy(mode))
        def check(case: Any) -> None:
            case.call_and_validate(address, headers={"X-API-Key": ADMIN}, checks=CHECKS, timeout=30)

        check()
    web = web.as_(web.key)  # the connection has been idle for as long as that took
    web.post("/api/v1/dead/purge", {"all": True})
    for queue in ("default", "mail"):
        web.post(f"/api/v1/queues/{queue}/purge")
