"""What a person reads of an extraction that was only planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gc_ray.runtime.progress import duration

if TYPE_CHECKING:  # every command loads this module, Ray only those that need it
    from gc_ray.runtime.preview import Preview

GB = 1 << 30


def preview_lines(found: Preview) -> list[str]:
    """Return the lines: counts, memory, nodes, time, and what the time cannot know."""
    wide = max((len(count.site) for count in found.counts), default=4)
    lines = [f"note: {note}" for note in found.notes]
    lines.append(f"{'site':<{wide}}  {'new':>8} {'again':>8} {'unchanged':>10}  product")
    lines += [f"{c.site:<{wide}}  {c.new:>8} {c.again:>8} {c.unchanged:>10}  {c.product}" for c in found.counts]
    lines.append("again: source, settings or code changed, or the scan failed; equal content is not computed again")
    for one in found.memory:
        room = f"{one.at_a_time} at a time" if one.at_a_time else "no node is large enough"
        lines.append(f"memory: {one.scans} scans of up to {one.bytes / GB:.1f} GB, {room}")
    for node in found.nodes:
        state = f"would get no work: {node.refusal}" if node.refusal else "would work"
        lines.append(f"node {node.name}: {node.cpus} CPUs, {node.memory / GB:.1f} GB, {state}")
    scans = sum(one.scans for one in found.memory)
    if not scans:
        lines.append("time: nothing would be computed")
    elif found.seconds is None:
        lines.append("time: not known, the store has no such scan yet; extract a few by --limit 5, then ask again")
    else:
        lines.append(f"time: about {duration(found.seconds)} for {scans} scans, by {found.timed} earlier results")
        lines.append("other work on the nodes, larger regions and slower storage make it longer")
    lines.append(f"dry run of {found.outlines} outlines: nothing was written")
    return lines
