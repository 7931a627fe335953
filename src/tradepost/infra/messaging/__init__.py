"""The bus port on RocketMQ 5. Delivery in one process is `events.DirectBus`."""
