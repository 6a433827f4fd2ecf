import os
import signal

import pytest

from nrw.training import signals


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_end_of_the_step(number, error):
    before = signal.getsignal(number)
    with signals.StopSignal() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == number
        assert signal.getsignal(number) is before  # a second one acts at once
        with pytest.raises(error):
            stop.leave()
    assert signal.getsignal(number) is before
