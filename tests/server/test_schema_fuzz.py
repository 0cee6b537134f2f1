"""Requests made from the OpenAPI document: no server error, and no answer that the document does not describe.

Many of the requests name things that exist, so that they come further than the first check. test_schema_fuzz_slow.py
sends the requests that Schemathesis makes for each limit in the document, about 44 for each operation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from patience import LONG
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from nbdag import runs
from nbdag.home import Home
from nbdag.server import openapi
from nbdag.server.handlers import ROUTES
from nbdag.testing import InProcessExecutor

from .conftest import Client, start_server, write_notebook

DOCUMENT = openapi.document(ROUTES.operations, "/")
AT_RANDOM = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": False}}})
FEW = schemathesis.openapi.from_dict(DOCUMENT, config=AT_RANDOM)
KNOWN = {
    "dag": "churn",
    "run": "latest",
    "task": "load",
    "instance": "load",
    "map_index": -1,
    "try_number": 1,
    "version": "1",
    "other": "1",
    "pool": "default_pool",
    "asset": "s3://lake/orders",
    "name": "x",
}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MOST_OF_A_HEADER = 60_000  # characters; Tornado itself rejects a request whose headers are longer than 64 kB
EXAMPLES = 6  # requests for each operation, some of which are sent again with known ids


class Fuzz:
    """Sends requests over one connection and checks the responses."""

    def __init__(self, client: Client, session: requests.Session) -> None:
        self._session = session
        self._options = {"base_url": f"{client.url}nbdag/api", "headers": dict(client.headers), "timeout": LONG}
        self._sent = set[str]()

    def check(self, case: schemathesis.Case) -> None:
        """Send a request as it was made, and again with known ids if no earlier request differs only in its ids."""
        if len(urlencode(case.query or {}, doseq=True)) > MOST_OF_A_HEADER:
            return
        known = {name: KNOWN[name] for name in case.path_parameters if name in KNOWN}
        response = case.call(session=self._session, **self._options)
        case.validate_response(response, checks=[*CHECKS, negative_data_rejection])
        if not known or case.operation.label in ("DELETE /dags/{dag}", "POST /dags/{dag}/runs/{run}/resume"):
            return
        case.path_parameters.update(known)
        request = repr(
            (case.operation.label, case.method, case.path_parameters, case.query, case.media_type, case.body)
        )
        if request not in self._sent:
            self._sent.add(request)
            response = case.call(session=self._session, **self._options)
            case.validate_response(response, checks=CHECKS)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("project")
    home = Home(folder / ".nbdag")
    notebook = write_notebook(
        folder,
        '%dag --schedule "0 6 * * *" --start-date 2026-01-01',
        "%%params\nlimit: int = 3",
        "%%task load --produces s3://lake/orders --out x\nx = limit",
        "%%task last\ny = 1 / (x - 3)",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
        runs.deploy(notebook, home=home)
        runs.run(notebook, home=home)
    client, end = start_server(folder)
    yield client
    end()


@pytest.fixture(scope="module")
def fuzz(client: Client) -> Iterator[Fuzz]:
    with contextlib.closing(requests.Session()) as session:
        yield Fuzz(client, session)


@FEW.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_a_response_matches_the_openapi_document(case: schemathesis.Case, fuzz: Fuzz) -> None:
    fuzz.check(case)
