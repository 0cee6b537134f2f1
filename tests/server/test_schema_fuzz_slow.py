"""The requests that Schemathesis makes for each limit in the document; test_schema_fuzz.py makes requests at random.

Importing this module computes about 2,500 requests, so conftest.py does not collect it in a run without slow tests.
"""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from .test_schema_fuzz import DOCUMENT, Fuzz
from .test_schema_fuzz import client as client  # the fixtures
from .test_schema_fuzz import fuzz as fuzz

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(phases=[Phase.explicit], deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_responses_at_every_limit_match_the_openapi_document(case: schemathesis.Case, fuzz: Fuzz) -> None:
    fuzz.check(case)
