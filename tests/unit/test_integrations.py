"""Integrations without what they integrate."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "missing", "extra"), [("opentelemetry", "opentelemetry", "otel"), ("sentry", "sentry_sdk", "sentry")]
)
def test_an_integration_whose_package_is_missing_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"distq.integrations.{name}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'distq\[{extra}\]'"):
        importlib.import_module(f"distq.integrations.{name}")
