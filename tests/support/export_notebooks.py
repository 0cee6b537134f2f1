"""Notebooks that are exported by the tests, as the sources of their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

EVERYTHING = [
    "%load_ext nbdag\n%dag churn --schedule '0 6 * * mon-fri' --start-date 2026-01-01 --tz Europe/Paris --catchup "
    "--retries 2 --retry-delay 10s --owner ml --tags daily ml --max-active-runs 1 --timeout 2h --description 'Who leaves' "
    "--on-failure json://token@host --deadline 08:00",
    "%%params\nalpha: float = 0.5  # in [0, 1]: the learning rate\nregion = 'EU'\nday = str(2026)\napi_token = 'x'",
    "rates = [1, 2, 3]",
    "%%task extract --pool warehouse --slots 2 --produces s3://lake/orders --consumes rates --doc 'Read the orders'\nrows = [3, 1, 2]",
    "%%task clean.sort --retry-backoff 2 --max-retry-delay 1h\nordered = sorted(rows)",
    "%%task clean.check --check 'ordered[0] > 0' --retries 0\nlowest = ordered[0]",
    "%%task trial --map rate=rates --max-map-length 5000 --timeout 10m --priority 5\nscore = rate * len(ordered)",
    "%%task gate --branch --cache\n'ship' if max(score) > 6 else ['hold', 'warn']",
    "%%task ship --after gate\nshipped = True",
    "%%task hold --after gate\nshipped = False",
    "%%task warn --after gate --deadline +1h\nprint('hold')",
    "%%task report --after ship hold --trigger none_failed_min_one_success --depends-on-past\nsummary = f'{shipped}, {lowest}'",
    "%%task big --short-circuit\nlen(rows) > 2",
    "%%task archive --after big\nprint(rows)",
    "%%task arrived --operator sensor --poke 5s --reschedule --timeout 1h\nlen(rows) == 3",
    "%%task cluster --setup\ncluster = 'made'",
    "%%task use --after cluster\nprint('used')",
    "%%task drop --teardown-for cluster --after use --fail-run\nprint('dropped')",
]
BRANCH = ["%%task gate --branch\n'a'", "%%task a --after gate --map x='[1, 2]'\ny = x", "%%task b --after gate\nz = 1"]
SETS = [
    "%dag daily --schedule 'on s3://lake/orders and (s3://lake/rates or s3://lake/fees)'",
    "%%task load\nrows = 1",
]

# Key: name of the golden file; value: operator and cells.
NOTEBOOKS: Mapping[str, tuple[str, Sequence[str]]] = {
    "churn": ("bash", EVERYTHING),
    "assets": ("bash", SETS),
    "external_python": ("external-python", ["%dag in_python", *BRANCH]),
    "kubernetes_pod": ("kubernetes-pod", ["%dag in_pods --schedule '@daily' --tz Asia/Tokyo", *BRANCH]),
    "docker": ("docker", ["%dag in_containers --schedule 'every 15m'", *BRANCH]),
}
