"""The settings that are environment variables, or lines of a ``.env`` file.

Rules of the file: every setting stands here once, with its default, its meaning and
its form; README's table is made from it. It imports next to nothing: client commands
need two of the settings, and start at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from attrs import field, frozen


T = TypeVar("T")


class BadSetting(Exception):
    """A setting is missing or malformed; the message is one line for people."""


@frozen(kw_only=True)
class Setting(Generic[T]):
    """One setting.

    Attributes:
        name: The environment variable.
        default: In words.
        expected: Its form, in words.
        meaning: Its use, in words.
        parse: Returns the value of a text; raises ValueError where it has none.
        shown: Returns a bad text as it may be shown.
    """

    name: str
    default: str
    expected: str
    meaning: str
    parse: Callable[[str], T]
    shown: Callable[[str], str] = repr

    def read(self) -> T | None:
        """Return its value; None where it is not set, or empty.

        Raises:
            BadSetting: It is malformed.
        """
        text = os.environ.get(self.name)
        if not text:
            return None
        try:
            return self.parse(text)
        except ValueError:
            raise BadSetting(
                f"{self.name} is {self.shown(text)}; expected {self.expected}."
            ) from None

    def missing(self) -> BadSetting:
        """Return the error of a setting that is needed and not set."""
        return BadSetting(
            f"{self.name} is not set; expected {self.expected}. "
            "(`galaxy-jobs galaxy start` gives you a local Galaxy to try.)"
        )


def _address(text: str) -> str:
    """Return an address without a trailing slash."""
    parts = urlsplit(text)
    is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
    if not is_http or parts.query or parts.username is not None:
        raise ValueError(text)
    return text.rstrip("/")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):  # nor nan
        raise ValueError(text)
    return seconds


def _database(text: str) -> str:
    if _scheme(text) not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(text)
    return text


def _scheme(text: str) -> str:
    return text.partition("://")[0]


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


GALAXY_URL = Setting(
    name="GALAXY_URL",
    default="none: needed to serve and poll",
    expected="the address of a Galaxy server, such as https://usegalaxy.eu",
    meaning="the Galaxy server",
    parse=_address,
)
GALAXY_API_KEY = Setting(
    name="GALAXY_API_KEY",
    default="none: needed to serve and poll",
    expected="an API key of that server (User > Preferences > Manage API Key)",
    meaning="the user there whose workflows and histories are used",
    parse=str,
)
GALAXY_TIMEOUT = Setting(
    name="GALAXY_TIMEOUT",
    default="30",
    expected="a number of seconds above 0",
    meaning="the limit of one request to Galaxy, in seconds",
    parse=_seconds,
)
DATABASE_URL = Setting(
    name="DATABASE_URL",
    default="an embedded PostgreSQL",
    expected="postgresql://user@host/database",
    meaning="the database",
    parse=_database,
    shown=lambda text: repr(f"{_scheme(text)[:20]}://…"),  # no password
)
GALAXY_JOBS_HOME = Setting(
    name="GALAXY_JOBS_HOME",
    default="~/.local/share/galaxy-jobs",
    expected="a folder that may be written to",
    meaning="the folder of the embedded database and the local Galaxy",
    parse=Path,
)
GALAXY_JOBS_CONFIG = Setting(
    name="GALAXY_JOBS_CONFIG",
    default="none",
    expected="a TOML file that can be read",
    meaning="the allowlist of workflows, and the settings of polling",
    parse=Path,
)
GALAXY_JOBS_URL = Setting(
    name="GALAXY_JOBS_URL",
    default="http://127.0.0.1:8000",
    expected="the address of a running `galaxy-jobs serve`",
    meaning="the service that the client commands use",
    parse=_address,
)
GALAXY_JOBS_TOKEN = Setting(
    name="GALAXY_JOBS_TOKEN",
    default="none",
    expected="a token as `galaxy-jobs token create` printed it",
    meaning="the token that the client commands send",
    parse=_token,
    shown=lambda _: "a text with characters that no token has",
)

SETTINGS: tuple[Setting[Any], ...] = (
    GALAXY_URL,
    GALAXY_API_KEY,
    GALAXY_TIMEOUT,
    DATABASE_URL,
    GALAXY_JOBS_HOME,
    GALAXY_JOBS_CONFIG,
    GALAXY_JOBS_URL,
    GALAXY_JOBS_TOKEN,
)
"""Every setting, the most important first."""


@frozen(kw_only=True)
class Service:
    """The service that the client commands use.

    Attributes:
        url: Without a trailing slash.
        token: None: requests are sent without one.
    """

    url: str = GALAXY_JOBS_URL.default
    token: str | None = field(default=None, repr=False)


def service(env_file: Path | None = Path(".env")) -> Service:
    """Return the service that the client commands use.

    Args:
        env_file: As for :func:`read_env_file`.

    Raises:
        BadSetting: Its setting is malformed.
    """
    read_env_file(env_file)
    token = GALAXY_JOBS_TOKEN.read()
    return Service(url=GALAXY_JOBS_URL.read() or Service().url, token=token)


def read_env_file(path: Path | None) -> None:
    """Add to the environment the lines of a file that it does not have.

    Args:
        path: A file of ``NAME=value`` lines, if it exists.
    """
    if path is not None and path.exists():
        import dotenv  # noqa: PLC0415 - seldom there, and slow to import

        dotenv.load_dotenv(path, override=False)
