"""Whatever the runtime hands to the storage can travel to a writer in a process of its own."""

from __future__ import annotations

import pickle

import pytest

from tradepost import app
from tradepost.kernel.events import Consumer


@pytest.mark.parametrize("consumer", app.consumers(), ids=lambda consumer: consumer.name)
def test_a_consumer_is_made_of_module_functions(consumer: Consumer) -> None:
    assert pickle.loads(pickle.dumps(consumer.consume)) is not None  # noqa: S301 - our own bytes
