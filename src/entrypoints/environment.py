"""What can be set in the environment, or in a ``.env`` file beside it.

Rules of the file: every setting stands here once, with its default, its meaning
and what is expected of it; README's table is tested against it. And it imports
next to nothing: client commands need two of the settings, and start at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen


class BadSetting(Exception):
    """A setting is missing or malformed; the message is one line for people."""


@frozen(kw_only=True)
class Setting:
    """What there is to say of one setting.

    Attributes:
        name: The environment variable.
        default: In words.
        expected: What it has to look like.
        meaning: What it is for.
    """

    name: str
    default: str
    expected: str
    meaning: str


SETTINGS = (
    Setting(
        name="GALAXY_URL",
        default="none: needed to serve and poll",
        expected="the address of a Galaxy server, such as https://usegalaxy.eu",
        meaning="the Galaxy server",
    ),
    Setting(
        name="GALAXY_API_KEY",
        default="none: needed to serve and poll",
        expected="an API key of that server (User > Preferences > Manage API Key)",
        meaning="whose workflows and histories are used there",
    ),
    Setting(
        name="GALAXY_TIMEOUT",
        default="30",
        expected="a number of seconds above 0",
        meaning="the limit of one request to Galaxy, in seconds",
    ),
    Setting(
        name="DATABASE_URL",
        default="an embedded PostgreSQL",
        expected="postgresql://user@host/database",
        meaning="the database",
    ),
    Setting(
        name="GALAXY_JOBS_HOME",
        default="~/.local/share/galaxy-jobs",
        expected="a folder that may be written to",
        meaning="where the embedded database and the local Galaxy live",
    ),
    Setting(
        name="GALAXY_JOBS_CONFIG",
        default="none",
        expected="a TOML file that can be read",
        meaning="the allowlist of workflows, and how to poll",
    ),
    Setting(
        name="GALAXY_JOBS_URL",
        default="http://127.0.0.1:8000",
        expected="the address of a running `galaxy-jobs serve`",
        meaning="where the client commands go",
    ),
    Setting(
        name="GALAXY_JOBS_TOKEN",
        default="none",
        expected="a token as `galaxy-jobs token create` printed it",
        meaning="what the client commands show there",
    ),
)
"""Every setting, in the order in which they matter."""


@frozen(kw_only=True)
class Service:
    """Where the client commands go.

    Attributes:
        url: Without a trailing slash.
        token: None: the service is asked without one.
    """

    url: str = "http://127.0.0.1:8000"
    token: str | None = field(default=None, repr=False)


def service(env_file: Path | None = Path(".env")) -> Service:
    """Read where the client commands go.

    Args:
        env_file: As for :func:`complete`.

    Raises:
        BadSetting: It is malformed.
    """
    complete(env_file)
    url = os.environ.get("GALAXY_JOBS_URL")
    token = os.environ.get("GALAXY_JOBS_TOKEN")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise BadSetting(
            "GALAXY_JOBS_TOKEN holds characters that no token has; "
            f"expected {expected('GALAXY_JOBS_TOKEN')}."
        )
    default = Service().url
    return Service(
        url=default if url is None else address("GALAXY_JOBS_URL", url), token=token
    )


def complete(env_file: Path | None) -> None:
    """Add to the environment what the ``.env`` file says and it does not.

    An empty value counts as not set.

    Args:
        env_file: A file of ``NAME=value`` lines, if it exists.
    """
    if env_file is not None and env_file.exists():
        import dotenv  # noqa: PLC0415 - seldom there, and slow to import

        dotenv.load_dotenv(env_file, override=False)
    for setting in SETTINGS:
        if os.environ.get(setting.name) == "":
            del os.environ[setting.name]


def address(name: str, url: str) -> str:
    """Return the address that a setting holds, without a trailing slash.

    Raises:
        BadSetting: It is none.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname)
        fine = fine and not parts.query and parts.username is None
    except ValueError:
        fine = False
    if not fine:
        raise bad(name, url)
    return url.rstrip("/")


def expected(name: str) -> str:
    """Say what a setting has to look like."""
    return next(one.expected for one in SETTINGS if one.name == name)


def bad(name: str, read: str) -> BadSetting:
    """Return the error that says what was read, and what is expected."""
    return BadSetting(f"{name} is {read!r}; expected {expected(name)}.")
