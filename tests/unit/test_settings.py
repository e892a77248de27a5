"""Settings: what is read, from where, and the error of a bad one."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from galaxy_jobs.domain import InvocationState, InvokeOptions, Issuer, Scope, Sees
from galaxy_jobs.domain.model.retention import RetentionPolicy
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.environment import BadSetting, Service, read
from galaxy_jobs.entrypoints.settings import LIBPQ_SECRETS, SETTINGS, Settings, load


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*(setting["name"] for setting in SETTINGS), *LIBPQ_SECRETS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


OIDC = """
[[oidc]]
issuer = 'https://login.example.org'
audience = 'https://jobs.example.org'
scopes = {'s' = 'submit'}
"""


def config(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    monkeypatch.setenv("GALAXY_JOBS_CONFIG", str(path))


def test_nothing_needs_to_be_set_to_be_loaded(tmp_path: Path) -> None:
    settings = load()
    assert settings.galaxy_url is None
    assert settings.galaxy_timeout == 30
    assert settings.home == tmp_path / "data" / "galaxy-jobs"
    assert settings.allowlist.rows == ()


def test_the_environment_wins_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_TIMEOUT", "7")
    monkeypatch.setenv("DATABASE_URL", "")
    (tmp_path / ".env").write_text(
        "GALAXY_URL=http://one/\nGALAXY_TIMEOUT=5\nDATABASE_URL=postgresql://x/y\n"
    )
    settings = load()
    assert (settings.galaxy_url, settings.galaxy_timeout) == ("http://one", 7)
    assert settings.database_url is None


def test_nothing_but_settings_is_read_from_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "sesame")
    lines = [
        "LD_PRELOAD=./evil.so",
        "XDG_DATA_HOME=/nowhere",
        "HTTPS_PROXY=http://127.0.0.1:9",
        "export GALAXY_URL='http://galaxy/${PGPASSWORD}'",
        "GALAXY_JOBS_TOKN=misspelt",
    ]
    (tmp_path / ".env").write_text("\n".join(lines))
    before = dict(os.environ)
    settings = load()
    assert dict(os.environ) == before
    assert settings.home == tmp_path / "data" / "galaxy-jobs"
    assert settings.galaxy_url == "http://galaxy/${PGPASSWORD}"


PAIRS = [
    (Settings, "GALAXY_URL", "GALAXY_API_KEY"),
    (Service, "GALAXY_JOBS_URL", "GALAXY_JOBS_TOKEN"),
    *((Settings, "DATABASE_URL", name) for name in LIBPQ_SECRETS),
]
VALUES = {
    "GALAXY_URL": "http://galaxy.example.org",
    "GALAXY_JOBS_URL": "http://jobs.example.org",
    "DATABASE_URL": "postgresql://me@db.example.org/jobs",
}


@pytest.mark.parametrize(("cls", "address", "secret"), PAIRS)
def test_no_secret_goes_to_an_address_from_elsewhere(
    cls: type[Settings | Service],
    address: str,
    secret: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {address: VALUES[address], secret: "sesame"}
    file = tmp_path / ".env"

    def put(name: str, text: str) -> None:
        file.write_text(f"{name}={text}\n")

    put(address, texts[address])
    monkeypatch.setenv(secret, "sesame")
    with pytest.raises(BadSetting) as caught:
        read(cls)
    message = str(caught.value)
    assert message.startswith(f"{address} is set in .env, and {secret} in the environ")
    assert "expected both in the same place" in message
    assert "sesame" not in message
    # In the same place, or alone, they are as good as before.
    monkeypatch.setenv(address, texts[address])
    assert read(cls) == read(cls, env_file=None)
    monkeypatch.delenv(secret)
    monkeypatch.delenv(address)
    assert read(cls) != read(cls, env_file=None)
    if secret in LIBPQ_SECRETS:
        return  # libpq does not read the file
    file.write_text("".join(f"{name}={text}\n" for name, text in texts.items()))
    assert read(cls) != read(cls, env_file=None)
    put(secret, "sesame")
    assert "sesame" in attrs.astuple(read(cls))
    monkeypatch.setenv(address, texts[address])
    with pytest.raises(BadSetting, match=f"{secret} is set in .env, and {address} in"):
        read(cls)


def test_an_env_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    refused = pytest.raises(
        BadSetting, match=r"^\.env could not be read; expected a UTF"
    )
    with file.open("wb") as large:
        large.truncate(2**30)
    with refused:
        load()
    file.unlink()
    os.mkfifo(file)
    with refused:
        load()
    file.unlink()
    file.mkdir()
    with refused:
        load()
    file.rmdir()
    file.write_bytes(b"GALAXY_URL=http://\xff\n")
    with refused:
        load()
    file.unlink()
    file.symlink_to("nowhere")
    assert load().galaxy_url is None


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert load().database_url is None


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GALAXY_URL", "http://galaxy")
    monkeypatch.setenv("GALAXY_API_KEY", "sesame")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:sesame@host/db")
    settings = load()
    assert settings.galaxy() == ("http://galaxy", "sesame")
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GALAXY_URL", "galaxy.org"),
        ("GALAXY_URL", "ftp://galaxy.org"),
        ("GALAXY_URL", "http://user:pw@galaxy.org"),
        ("GALAXY_URL", "http://"),
        ("GALAXY_TIMEOUT", "3s"),
        ("GALAXY_TIMEOUT", "0"),
        ("GALAXY_TIMEOUT", "-1"),
        ("GALAXY_TIMEOUT", "inf"),
        ("GALAXY_TIMEOUT", "nan"),
        ("DATABASE_URL", "mysql://host/db"),
        ("DATABASE_URL", "host"),
        ("GALAXY_JOBS_CONFIG", "/nonexistent/config.toml"),
    ],
)
def test_a_malformed_one_is_one_line_with_name_value_and_what_is_expected(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(name)
    assert "xpected" in message
    assert "\n" not in message
    if name != "DATABASE_URL":  # which may hold a password
        assert value in message


def test_a_database_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresqk://me:sesame@host/db")
    with pytest.raises(BadSetting) as caught:
        load()
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("name", ["GALAXY_URL", "GALAXY_API_KEY"])
def test_a_missing_one_says_what_is_expected(name: str, tmp_path: Path) -> None:
    values = {"GALAXY_URL": "http://galaxy", "GALAXY_API_KEY": None}
    settings = Settings(
        home=tmp_path,
        galaxy_url=None if name == "GALAXY_URL" else values["GALAXY_URL"],
    )
    with pytest.raises(BadSetting, match=f"{name} is not set; expected"):
        settings.galaxy()


def test_the_file_holds_the_allowlist_and_how_to_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(
        tmp_path,
        """
        [[workflows]]
        name = "one"
        input = "reads"
        use_cached_job = true
        preferred_outputs_object_store_id = "kept"
        resource_params = {cores = 4, queue = "long"}
        exact_tool_versions = false
        [[workflows]]
        name = "two"
        id = "f597429621d6eb2b"
        takes_dataset = false
        owners = ["lab-a", "lab-b"]
        results_days = 7
        [retention]
        results_days = 90
        results_days_failed = 14
        intermediates = "delete when completed"
        jobs_days = 400
        [poll]
        min_interval = 2
        max_interval = "PT4M"
        threads = 3
        [submit]
        key_lifetime = 60
        [http]
        rate = 50
        allow_origins = ["https://app.example.org", "http://localhost:3000"]
        """,
        monkeypatch,
    )
    settings = load()
    first, second = settings.allowlist.rows
    assert (first.name, first.input, first.workflow_id) == ("one", "reads", None)
    assert (second.name, second.input, second.workflow_id) == (
        "two",
        None,
        "f597429621d6eb2b",
    )
    assert first.options == InvokeOptions(
        use_cached_job=True,
        exact_tool_versions=False,
        preferred_outputs_object_store_id="kept",
        resource_params={"cores": 4, "queue": "long"},
    )
    assert (second.options, second.takes_dataset) == (InvokeOptions(), False)
    assert not first.owners
    assert second.owners == {"lab-a", "lab-b"}
    assert settings.poll.min_interval == timedelta(seconds=2)
    assert settings.poll.max_interval == timedelta(minutes=4)
    assert settings.threads == 3
    assert settings.submit.key_lifetime == timedelta(minutes=1)
    assert settings.http.rate == 50
    assert settings.kept == RetentionPolicy(
        results=timedelta(days=90),
        by_state={InvocationState.FAILED: timedelta(days=14)},
        by_workflow={"two": timedelta(days=7)},
        delete_intermediates=True,
        jobs=timedelta(days=400),
    )
    assert settings.http.allow_origins[0] == "https://app.example.org"


def test_keys_of_signed_addresses_are_checked_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "sesame" * 6
    config(tmp_path, f'[data]\nkeys = ["{long}", "{long}2"]', monkeypatch)
    settings = load()
    secrets = [key.secret.decode() for key in settings.data.signing_keys]
    assert secrets == [long, f"{long}2"]
    assert "sesame" not in repr(settings)
    for keys in ('["sesame"]', '"sesame"', '[["sesame"]]'):
        config(tmp_path, f"[data]\nkeys = {keys}", monkeypatch)
        with pytest.raises(BadSetting, match="data") as caught:
            load()
        assert "sesame" not in str(caught.value)


def test_names_of_the_version_before_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(
        tmp_path,
        "[poll]\nleast = 2\nmost = 9\npatience = 0.5\n[submit]\nlook_again = 7",
        monkeypatch,
    )
    settings = load()
    assert settings.poll == PollPolicy(
        min_interval=timedelta(seconds=2),
        max_interval=timedelta(seconds=9),
        backoff_ratio=0.5,
    )
    assert settings.reconcile.afterwards == timedelta(seconds=7)


def test_what_the_file_leaves_out_is_the_policies_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, "[poll]\n[submit]\n[http]\n[retention]\n", monkeypatch)
    settings = load()
    assert settings == Settings(home=settings.home, config=settings.config)


def test_nobody_is_given_up_who_may_still_be_waiting_for_galaxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_TIMEOUT", "300")
    settings = load()
    assert settings.submit.deadline > 2 * timedelta(seconds=300)
    assert settings.reconcile.grace == settings.submit.deadline
    config(tmp_path, "[submit]\ndeadline = 7", monkeypatch)
    settings = load()
    assert settings.submit.deadline == timedelta(seconds=7)
    assert settings.reconcile.grace == settings.submit.deadline


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("workflows = [", "config.toml"),
        ("[[workflows]]\ninput = 'x'", "`name`"),
        ("[[workflows]]\nname = 'a'\nidd = 'x'", "idd"),
        ("[[workflows]]\nname = ''", "name of an allowed workflow is empty"),
        ("[[workflows]]\nname = 'a'\nuse_cached_job = 'x'", "use_cached_job"),
        (
            "[[workflows]]\nname = 'a'\nresource_params = {at = 2026-01-01}",
            "resource_params",
        ),
        (
            "[[workflows]]\nname = 'a'\npreferred_object_store_id = ''",
            "preferred_object_store_id is empty",
        ),
        (
            (
                "[[workflows]]\nname = 'a'\npreferred_object_store_id = 'x'"
                "\npreferred_outputs_object_store_id = 'y'"
            ),
            "cannot be combined",
        ),
        ("[[workflows]]\nname = 'a'\n[[workflows]]\nname = 'a'", "'a'"),
        ("[poll]\nleest = 1", "leest"),
        ("[poll]\nmin_interval = 'x'", "[poll] min_interval is 'x'; expected a number"),
        ("[poll]\nmin_interval = inf", "min_interval"),
        ("[poll]\nmin_interval = 0", "[poll] min_interval must be above 0"),
        ("[poll]\nmin_interval = 9\nmax_interval = 1", "min_interval"),
        ("[poll]\nmin_interval = 1\nleast = 1", "'least'"),
        ("[poll]\njitter = 1", "jitter"),
        ("poll = 3", "[poll] is 3; expected a table"),
        ("[pol]\nbatch = 3", "'pol'"),
        ("workflows = 3", "workflows is 3"),
        ("[workflows]\nname = 'a'", "[[workflows]]"),
        ("[[workflows]]\nname = 'a'\nid = 3", "input, takes_dataset, id, "),
        ("[[workflows]]\nname = 'a'\nowners = []", "[[workflows]] has"),
        ("[poll]\nthreads = -1", "threads"),
        ("[poll]\nthreads = 1.5", "[poll] threads is 1.5; expected a whole number"),
        ("[submit]\npurge = 'yes'", "[submit] purge is 'yes'; expected true or false"),
        ("[submit]\ndeadline = 0", "deadline"),
        ("[submit]\nlook_again = 'x'", "[submit] look_again"),
        ("[http]\nrate = 0", "rate"),
        ("[retention]\naudit_days = 0.5", "audit_days must be from 1 to 36500"),
        ("[retention]\naudit_days = inf", "audit_days"),
        ("[retention]\nother = 1", "other"),
        ("[retention]\nresults_days = 0", "results_days must be from 1 to 36500"),
        ("[retention]\nresults_days_failed = 'x'", "'x'; expected a number"),
        ("[retention]\nintermediates = 'drop'", "'keep' or 'delete when completed'"),
        ("[retention]\njobs_days = 9\nresults_days = 10", "must be kept until"),
        ("[[workflows]]\nname = 'a'\nresults_days = 0.5", "[[workflows]] has"),
        ("[http]\nburst = 0.5", "burst"),
        ("[http]\nstreams = -1", "streams"),
        ("[http]\nallow_origins = 1", "[http] allow_origins is 1; expected a list"),
        ("[http]\nallow_origins = ['app.example.org']", "'app.example.org'"),
        ("[http]\nallow_origins = ['https://a.b/']", "'https://a.b/'"),
        ("[http]\nallow_origins = ['https://*.a.b']", "'https://*.a.b'"),
        ("oidc = 3", "oidc is no list"),
        ("[[oidc]]\nissuer = 'https://a'", "missing required field `audience`"),
        (OIDC + "\nclient_secret = 'x'", "unknown field `client_secret`"),
        (OIDC + "\nsees = 'some'", "Invalid enum value 'some'"),
        (OIDC.replace("submit'}", "write'}"), "Invalid enum value 'write'"),
        (OIDC.replace("https:", "http:"), "expected an https address"),
        (OIDC.replace("{'s' = 'submit'}", "{}"), "scopes is empty"),
        (OIDC + OIDC, "an issuer twice"),
        ("\x00", "config.toml"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_place(
    text: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, text, monkeypatch)
    with pytest.raises(BadSetting) as caught:
        load()
    message = str(caught.value)
    assert message.startswith("GALAXY_JOBS_CONFIG")
    assert named in message
    assert "\n" not in message


def test_a_file_that_is_not_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, "", monkeypatch)
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match="GALAXY_JOBS_CONFIG"):
        load()


def test_identity_providers_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (
        "client_id = 'c'\nsees = 'all'\nowner_claim = 'email'\nscope_claim = 'groups'"
    )
    config(tmp_path, f"{OIDC}{more}\nparameters = {{prompt = 'login'}}", monkeypatch)
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "hidden")
    settings = load()
    assert settings.issuers == (
        Issuer(
            issuer="https://login.example.org",
            audience="https://jobs.example.org",
            scopes={"s": Scope.SUBMIT},
            scope_claim="groups",
            owner_claim="email",
            sees=Sees.ALL,
            client_id="c",
            parameters={"prompt": "login"},
        ),
    )
    assert settings.client_secret == "hidden"
    assert "hidden" not in repr(settings)
    config(tmp_path, OIDC, monkeypatch)
    with pytest.raises(BadSetting, match=r"0 of .* have a client_id") as caught:
        load()
    assert "hidden" not in str(caught.value)
    monkeypatch.delenv("OIDC_CLIENT_SECRET")
    (issuer,) = load().issuers
    assert (issuer.scope_claim, issuer.sees) == ("scope", Sees.OWN)
