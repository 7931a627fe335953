"""The bus port's broker adapters. Delivery in this process is `events.DirectBus`; RocketMQ comes with production."""
