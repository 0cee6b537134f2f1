"""Many more requests than in test_schema_fuzz.py, among them those that Schemathesis makes for each limit in the document.

Importing this module computes about 2,500 requests, so conftest.py does not collect it in a run without slow tests.
"""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from .conftest import Client
from .test_schema_fuzz import DOCUMENT, check
from .test_schema_fuzz import client as client  # the fixture

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_responses_match_the_openapi_document(case: schemathesis.Case, client: Client) -> None:
    check(case, client)
