"""Secrets, connections and variables, by name, and the masking of their values.

    token = nbdag.secret("API_TOKEN")                   # a text
    engine = create_engine(nbdag.connection("warehouse").url)
    region = nbdag.variable("region", "eu-west-1")      # a setting, not a secret

A name is looked up in these sources, in this order. The first source that knows the name is used:

    environment variables                   NBDAG_SECRET_API_TOKEN, NBDAG_CONN_WAREHOUSE, NBDAG_VAR_REGION,
                                            and Airflow's AIRFLOW_CONN_WAREHOUSE, AIRFLOW_VAR_REGION
    the file .env beside the home           the same names; NBDAG_ENV_FILE names another file, which must exist; needs
                                            python-dotenv
    backends of installed packages          entry points in the group nbdag.secrets, see `sources.Backend`
    the system's keyring                    the same names: keyring set nbdag NBDAG_SECRET_API_TOKEN; needs keyring

A connection is a URI or a JSON object, as in Airflow. nbdag never stores the values: the database, notebooks, cache
keys and jobs contain only names, and each process looks the value up again.

Masking. A notebook's kernel writes `***` in place of these values: every secret that was looked up; the value of every
NBDAG_SECRET_ variable of the environment or `.env`, even without a lookup, because a script may print its environment;
and the passwords of connections. This applies to streams (also of subprocesses), displays, results,
tracebacks, errors, summaries, notes and widgets. Logs, reports, the database, notifications, JSON and the page get
their texts from these outputs, so they are masked too. A value is also recognised in these forms: Base64, URL-encoding,
hexadecimal; escapes of `repr`, JSON, HTML and the shell; single lines of a longer value; printed in pieces; and parts
of 8 and more characters that do not look like words or numbers (`core.model.secret_masking`). A variable is masked only
if its name is that of a secret (`db_password`) or if it is a URL with a password.

Not masked are: values of fewer than 4 characters, and parts of fewer than 8; images and other binary outputs; data
computed from a value (a hash, a reversed text, its length); values that are printed in pieces with other output between
them; files that the code writes; and a secret in a variable that later tasks read, because the variable is stored as a
pickle. So look the secret up in each task that needs it, and do not pass it on. (Of a `Connection`, only the name is
stored.)
"""

from __future__ import annotations

from .connections import Connection, ConnectionFormatError
from .kernel_output_masking import protect_kernel
from .lookup import Secret, UnknownSecretError, connection, secret, variable
from .masker import hide, mask, masked
from .sources import environment, hide_known_values

__all__ = [
    "Connection",
    "ConnectionFormatError",
    "Secret",
    "UnknownSecretError",
    "connection",
    "environment",
    "hide",
    "hide_known_values",
    "mask",
    "masked",
    "protect_kernel",
    "secret",
    "variable",
]
