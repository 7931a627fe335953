"""What the rooms for limits, switches, caches, messaging and configuration count, declared with its sentences.

They tell plain names and numbers (`gauges()`), knowing nothing of metrics; a name that holds a name becomes a label.
"""

from __future__ import annotations

from tradepost.telemetry.metrics import Family, declare_metrics, fold_names

declare_metrics(
    [
        Family("switch_on", "gauge", "Whether a degradation switch is on.", ("switch",)),
        Family("admitted", "counter", "Requests admitted, by priority.", ("priority",)),
        Family("shed", "counter", "Requests refused at the door, by priority.", ("priority",)),
        Family("admission_under_way", "gauge", "Admitted requests that are not answered yet."),
        Family("admission_limit", "gauge", "Requests that may be under way now; the limit adapts."),
        Family("admission_capacity_per_s", "gauge", "The cap of requests a second, 0 for none."),
        Family("admission_workers", "gauge", "Workers among which the cap is divided."),
        Family("limits_exceeded", "counter", "Requests refused by a rate limit."),
        Family("limits_decided_alone", "counter", "Limits decided by this process without the shared cells."),
        Family("limit_cells", "gauge", "Rate limit cells in this process's memory."),
        Family("dependency_calls", "counter", "Calls to somebody we depend on.", ("dependency",)),
        Family("dependency_failures", "counter", "Calls of them that failed.", ("dependency",)),
        Family("dependency_turned_away", "counter", "Calls not made: breaker or bulkhead.", ("dependency",)),
        Family("dependency_under_way", "gauge", "Calls that are not answered yet.", ("dependency",)),
        Family("dependency_open", "gauge", "Whether the circuit breaker is open.", ("dependency",)),
        Family(
            "webhooks_ignored",
            "counter",
            "Genuine webhooks of a provider that need nothing here.",
            ("provider",),
        ),
    ]
)
declare_metrics(
    [
        Family("config_centre_up", "gauge", "Whether the config centre answers this process."),
        Family("config_revision", "gauge", "Revision of the configuration in force here."),
        Family("config_last_good_used", "gauge", "Whether this process started from its last good file."),
        Family("config_values_ignored", "gauge", "Values of the centre that do not fit and are ignored."),
        Family(
            "config_entries_missing", "gauge", "Entries the centre lost; their last values stay in force."
        ),
        Family(
            "redis_up", "gauge", "Whether Redis answers this process; without it nothing but speed is lost."
        ),
        Family("redis_calls", "counter", "Calls to Redis."),
        Family("redis_failures", "counter", "Calls to Redis that failed."),
        Family("redis_calls_avoided", "counter", "Calls to Redis not made because it was away."),
        Family("shared_hints", "gauge", "SKUs remembered as sold out by all processes."),
        Family("signals_heard", "counter", "News of other processes heard at once."),
        Family("signals_polled", "counter", "News of other processes found by asking."),
        Family(
            "signals_forgot", "counter", "Times that caches were emptied because news may have been missed."
        ),
        Family("signals_untold", "gauge", "News of this process that others were not told yet."),
        Family("signals_hearing", "gauge", "Whether this process hears the others at once."),
    ]
)
declare_metrics(
    [
        Family(
            "messaging_up", "gauge", "Whether the broker takes and gives messages; the outbox waits if not."
        ),
        Family(
            "outbox_alarm",
            "gauge",
            "Whether events wait longer, or more of them, than the settings allow.",
            shared=True,
        ),
        Family("messaging_troubles", "counter", "Calls to the broker that failed."),
        Family("messaging_groups", "gauge", "Consumer groups this process should read."),
        Family("messaging_groups_reading", "gauge", "Consumer groups this process reads now."),
        Family("messaging_published", "counter", "Events given to the broker."),
        Family("messaging_received", "counter", "Events taken from the broker."),
        Family("messaging_repeated", "counter", "Events the broker gave again."),
        Family("messaging_unreadable", "counter", "Messages that are no events of ours."),
        Family("messaging_reminders_sent", "counter", "Delay messages sent to wake timers early."),
        Family("messaging_reminders_heard", "counter", "Delay messages that woke a timer."),
        Family(
            "messaging_reminders_dropped",
            "counter",
            "Delay messages not sent; the timers look by themselves.",
        ),
    ]
)
fold_names(r"switch_(.+)", "switch_on", "switch")
fold_names(r"admitted_(.+)", "admitted", "priority")
fold_names(r"shed_(.+)", "shed", "priority")
fold_names(r"webhooks_ignored_(.+)", "webhooks_ignored", "provider")
for _fact in ("calls", "failures", "turned_away", "under_way", "open"):
    fold_names(rf"dependency_(.+)_{_fact}", f"dependency_{_fact}", "dependency")
