"""Migrations form one chain: two that were added side by side are found here."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from galaxy_jobs.adapters.postgres import migrations


FOLDER = Path(migrations.__file__).parent


def test_every_migration_has_a_number_of_its_own_and_follows_the_one_before() -> None:
    numbers = [path.name[1:5] for path in sorted((FOLDER / "versions").glob("v*.py"))]
    assert numbers == list(migrations.REVISIONS)
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    # Alembic refuses a revision that two modules have, and more than one head.
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    found = [(script.revision, script.down_revision) for script in scripts]
    assert found == list(zip(numbers, [None, *numbers], strict=False))
    assert [Path(script.path).name[1:5] for script in scripts] == numbers
