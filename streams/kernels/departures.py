"""Departures from terminals by the clock: what a timetable that nobody gave us looks like from its buses.

Where buses leave by a plan they leave when they left on days before. Counted in slots of two minutes of the day, by
terminal and kind of day. How far that goes in this city is learned as the weight of a mixture: a departure is one of
the days before, or comes whenever it likes. Source: EM for mixtures (Dempster, Laird, Rubin 1977), run along.
"""

import numpy as np

from streams.jit import kernel

SLOT_S = 120.0
SLOTS = 720
AHEAD = 61  # slots: the longest wait and the one that is under way
AROUND = 15  # slots to either side that say how many departures are usual at this hour
DAY_KEPT = 0.8  # of what was known when a day of the same kind is over
PRIOR_WEIGHT = 0.3
PRIOR_DEPARTURES = 30.0  # that the prior weight is worth
FULL_DEPARTURES = 2000.0  # the sums are halved here: the first days' shares were found with a poor weight


@kernel
def learn(terminal, kind, day, slot, counts, today, today_kind, today_day, fit):
    """Count departures, in their order; a day joins the days before when the next one begins.

    terminal  (n,) i8
    kind      (n,) i8 0 weekday, 1 weekend; day (n,) i8 number of the day; slot (n,) i8 of the day
    counts    (terminals, 2, SLOTS) f4 days before; today (terminals, SLOTS) f4: changed in place
    today_kind, today_day  what `today` is of; day 0: nothing yet
    fit       (2,) f8 sums for the weight, changed in place: shares of departures that are of days before; departures

    Returns today_kind and today_day as they are then.
    """
    for k in range(len(terminal)):
        if day[k] > today_day:
            if today_day > 0:
                counts[:, today_kind] *= DAY_KEPT
                counts[:, today_kind] += today
                today[:] = 0.0
            today_kind, today_day = kind[k], day[k]
        before = counts[terminal[k], today_kind]
        usual = around(before, slot[k])
        if usual > 0.0:
            share = weight(fit)
            seen = share * smooth(before, slot[k]) / usual
            fit[0] += seen / (seen + 1.0 - share)
            fit[1] += 1.0
            if fit[1] > FULL_DEPARTURES:
                fit *= 0.5
        today[terminal[k], slot[k]] += 1.0
    return today_kind, today_day


@kernel
def weight(fit):
    """Share of departures that are those of days before."""
    return (fit[0] + PRIOR_WEIGHT * PRIOR_DEPARTURES) / (fit[1] + PRIOR_DEPARTURES)


@kernel
def smooth(row, slot):
    """Departures of a slot, half of it and a quarter of each neighbour: buses keep a plan to a minute or two."""
    return 0.5 * row[slot] + 0.25 * (row[(slot + 1) % SLOTS] + row[(slot + SLOTS - 1) % SLOTS])


@kernel
def around(row, slot):
    """Mean departures of the slots around one."""
    total = 0.0
    for d in range(-AROUND, AROUND + 1):
        total += row[(slot + d + SLOTS) % SLOTS]
    return total / (2 * AROUND + 1)


@kernel
def odds(terminal, kind, slot, counts, fit):
    """How much likelier a departure is in each of the next slots than if the clock did not matter: (n, AHEAD) f8.

    terminal, kind, slot  (n,) i8: of the present moment
    counts, fit           as in `learn`
    """
    out = np.empty((len(terminal), AHEAD))
    upto = np.zeros(AHEAD + 2 * AROUND + 1)  # departures before each slot, counted from the first that matters
    share = weight(fit)
    for k in range(len(terminal)):
        row = counts[terminal[k], kind[k]]
        for i in range(AHEAD + 2 * AROUND):
            upto[i + 1] = upto[i] + row[(slot[k] - AROUND + i + SLOTS) % SLOTS]
        for j in range(AHEAD):
            usual = (upto[j + 2 * AROUND + 1] - upto[j]) / (2 * AROUND + 1)
            ahead = smooth(row, (slot[k] + j) % SLOTS)
            out[k, j] = 1.0 if usual == 0.0 else 1.0 - share + share * ahead / usual
    return out
