"""Does the broker have what this process needs? Asked at the start, over the same door as everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, GroupMissing, Link, TopicMissing
from tradepost.infra.messaging.rocketmq_member import Member, new_client_id
from tradepost.infra.messaging.topics import Names, topics
from tradepost.kernel.errors import Refusal


async def look_for(link: Link, names: Names, groups: Iterable[str]) -> None:
    """Raise Refusal `messaging.missing` naming every topic and group that is missing or of another kind.

    Raises BrokerTrouble when the broker does not answer.
    """
    faults = await _topic_faults(link, names)
    if not faults:
        found = await asyncio.gather(*(_group_fault(link, names, group) for group in sorted(groups)))
        faults = [fault for fault in found if fault]
    if faults:
        raise Refusal(
            "messaging.missing",
            f"The broker lacks {', '.join(faults)}.",
            field="messaging",
            expected="every topic and group that `tradepost services up rocketmq` creates",
            extra={"missing": faults},
        )


async def _topic_faults(link: Link, names: Names) -> list[str]:
    faults: list[str] = []
    client_id = new_client_id(link)
    for topic in topics(names):
        try:
            queues = await link.queues(topic.name, client_id)
        except TopicMissing:
            faults.append(f"the topic {topic.name} ({topic.kind})")
            continue
        kind = link.wire.definition.MessageType.Value(topic.kind.value)
        if any(list(queue.accept_message_types) not in ([kind], []) for queue in queues):
            faults.append(f"the kind {topic.kind} of the topic {topic.name}")
    return faults


async def _group_fault(link: Link, names: Names, group: str) -> str:
    member = Member(link, names.events, group, (), is_ordered=True)
    try:
        await member.join()
    except GroupMissing:
        return f"the group {group}"
    except BrokerTrouble as error:
        if "must be orderly" in str(error):
            return f"the order of the group {group}"
        raise
    finally:
        await member.leave()
    return ""
