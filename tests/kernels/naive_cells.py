"""What streams.kernels.cells computes, one row at a time."""

from collections import defaultdict


def window_sums(rows):
    """{cell: (metres, seconds, samples, vehicles)} of (cell, vehicle, metres, seconds) in order."""
    by_cell = defaultdict(list)
    for cell, *row in rows:
        by_cell[cell].append(row)
    return {
        cell: (sum(m for _, m, _ in rows), sum(s for *_, s in rows), len(rows), len({v for v, *_ in rows}))
        for cell, rows in by_cell.items()
    }


def level(speed, free):
    """1 smooth to 4 severe."""
    for level, least in ((1, 0.67), (2, 0.5), (3, 0.3)):
        if speed / free >= least:
            return level
    return 4


def along(link, pace, free, samples):
    """Of one link, a list of (cell, metres)."""
    return [
        sum(m * pace[c] for c, m in link),
        sum(m * free[c] for c, m in link),
        sum(m for c, m in link if samples[c]),
        sum(m * samples[c] for c, m in link),
        sum(m * samples[c] * (pace[c] - free[c]) for c, m in link if pace[c] > free[c]),
    ]


def jam_seconds(links, now, usual, ratio):
    """Per link, a list of (cell, metres)."""
    return [sum(m * (now[c] - usual[c]) for c, m in link if usual[c] / now[c] < ratio) for link in links]
