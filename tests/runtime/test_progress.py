"""Progress lines: counts and time left per site, as often as asked and always at the end."""

import os
import pty
import subprocess
import sys

from gc_ray.models.fit import FitSettings
from gc_ray.runtime.progress import Epochs, Progress, duration


def test_lines_count_per_site_and_estimate_the_rest():
    """A result every 2 s and 30 to come: 60 s are left, for every site; the 100 s of the start are not counted."""
    clock, shown = [0.0], []
    progress = Progress({"a": 10, "bb": 30}, shown.append, 1000.0, lambda: clock[0])
    clock[0] = 100.0
    for _ in range(9):
        progress.add("a", "ok")
        clock[0] += 2
    progress.add("a", "refused")
    assert progress.lines() == [
        "a   10/10  ok 9  refused 1  complete",
        "bb  0/30  about 60 s left",
    ]
    assert shown == [["a   0/10  starting", "bb  0/30  starting"]]


def test_every_outcome_that_is_counted_is_named():
    """The outcomes of a rescoring are other ones than those of an extraction; what did not come is not said."""
    progress = Progress({"a": 3}, lambda lines: None, 1000.0, lambda: 0.0)
    for status in ("scored", "refused", "unchanged"):
        progress.add("a", status)
    assert progress.lines() == ["a  3/3  refused 1  unchanged 1  scored 1  complete"]


def test_lines_are_shown_at_the_start_when_it_is_time_and_after_the_last_result():
    """A log gets a line now and then, and the final state without fail."""
    clock, shown = [0.0], []
    progress = Progress({"a": 3}, shown.append, 10.0, lambda: clock[0])
    progress.add("a", "ok")
    clock[0] = 11.0
    progress.add("a", "ok")
    clock[0] = 12.0
    progress.add("a", "failed")
    assert [lines[0].split()[1] for lines in shown] == ["0/3", "2/3", "3/3"]
    assert shown[-1][0].endswith("complete")


def test_on_a_narrow_terminal_no_word_of_a_line_is_lost():
    """What is redrawn is wrapped, not cut off: the time left stands at its end."""
    site = "a hospital with a long name"
    watch = f"from gc_ray.live_progress import watching\nwith watching() as watch: watch({{'{site}': 10}})"
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "30", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", watch], stderr=theirs, env=environment, check=True, timeout=120)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "a hospital with a long name" in shown
    assert "starting" in shown


def test_durations_read_as_people_say_them():
    """Seconds, minutes or hours, whichever is shortest to read."""
    assert [duration(s) for s in (4.2, 99, 600, 9000)] == ["4 s", "99 s", "10 min", "2.5 h"]


def test_a_fit_shows_its_epoch_the_best_so_far_and_the_most_time_left():
    """Epochs of 10 s and 7 to come: 70 s; the last epoch is shown whether it is time or not."""
    clock, shown = [0.0], []
    settings = FitSettings(batch=1, learning_rate=1.0, weight_decay=0.0, epochs=10, patience=3, seed=0)
    epochs = Epochs(lambda lines: shown.extend(lines), 15.0, lambda: clock[0])
    for epoch, watched in enumerate((5.0, 3.0, 4.0, 4.0, 4.0), start=1):
        epochs.tell("fold-0", settings, (epoch, 2.0, watched))
        clock[0] += 10
    assert shown == [
        "fold-0  epoch 1/10  loss 2  watched 5 (best 5 in epoch 1)  starting",
        "fold-0  epoch 3/10  loss 2  watched 4 (best 3 in epoch 2)  at most 70 s left",
        "fold-0  epoch 5/10  loss 2  watched 4 (best 3 in epoch 2)  complete",
    ]
