"""Contract tests: what every implementation of a port must do.

Subclass a contract in a test module, supply the fixtures that it names, and you
have all of its tests::

    from galaxy_jobs.adapters.testing.contracts.queue import PollQueueContract
    from galaxy_jobs.adapters.testing.contracts.repositories import Repositories

    class TestMyPollQueue(PollQueueContract):
        @pytest.fixture
        def repositories(self) -> Repositories:
            return Repositories(datasets=MyDatasets(), ...)

They need pytest: install ``galaxy-jobs[testing]``. The adapters of this package
pass them, those in memory included.
"""

import pkgutil

import pytest


# An assertion that fails shows what it compared, as it does in a test module.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)
