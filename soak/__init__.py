"""Patched functions under the heaviest load that a guest can make, while patches come and go."""

import signal


def end_with_guests() -> None:
    """Have SIGTERM end a run as Ctrl-C does, also one that was started in the background: its guest is stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
