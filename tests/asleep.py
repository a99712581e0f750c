"""Programs in guests that sleep somewhere: waited for, as a busy machine takes its time to start them."""


def asleep(name):
    """Shell commands that wait until a process of that name has fallen asleep, which was started just before."""
    # the second would be content with another one of that name
    return f"sleep 0.3; until grep -qs '^[0-9]* ({name}) [SD] ' /proc/[0-9]*/stat; do usleep 100000; done"
