"""For tests that press Ctrl-C: where they run in the background, a shell may have switched it off."""

import signal


def taking_ctrl_c() -> None:
    """Let a process that is about to begin be interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
