"""What every implementation of a port must do, as tests written once.

Subclass a contract in a test module of yours, supply the fixtures that it names,
and every test in it is yours::

    from galaxy_jobs.adapters.testing.contracts.queue import PollQueueContract
    from galaxy_jobs.adapters.testing.contracts.repositories import Repositories

    class TestMyPollQueue(PollQueueContract):
        @pytest.fixture
        def repositories(self) -> Repositories:
            return Repositories(datasets=MyDatasets(), ...)

It needs pytest, which this package does not bring. Our own simulations and real
adapters are held to these, too.
"""

import pytest


# An assertion that fails shows what it compared, as it does in a test module.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "datasets",
            "invocations",
            "queue",
            "repositories",
            "runner",
            "submissions",
            "superseded",
            "tokens",
        )
    )
)
