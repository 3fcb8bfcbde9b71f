"""Arrival estimates: running times of links, the sum over the links ahead, honest quantiles, what is said of them.

A link runs from 20 m before one stop to 20 m before the next, so its time holds the dwell at its first stop. All
learning is O(1) per passage; all sums are ratios of observed to expected seconds, shrunk towards what is known more
broadly (link and hour -> link -> timetable).
"""

import numpy as np

from streams.jit import kernel

MARGIN_M = 20.0  # a bus this close has arrived
DWELL_M = 45.0  # the dwell share of a link is spent over its first metres
DWELL_S = 15.0
DWELL_SHARE = 0.3
APPROACH_MPS = 5.0  # towards a first stop that is still ahead
PRIOR_PASSAGES = 0.7  # passages that the timetable is worth
HOUR_PASSAGES = 5.0  # passages that a link's mean is worth in one hour
NETWORK_PASSAGES = 400.0  # of one hour, after which the network is as slow in it as it was seen to be, by half
RECENT_NETWORK_PASSAGES = 100.0  # recent factor: network -> neighbours -> link
NEIGHBOUR_PASSAGES = 6.0
LINK_PASSAGES = 6.0
RECENT_S = 1800.0  # memory of the recent factor
LATER_S = 3600.0  # running times are known for now and for so much later, and lie between them in between
LOW, HIGH = 0.3, 3.0  # a passage is clipped to these multiples of the timetable
LONG_S = 60.0  # and so much more: a dwell or a red light is as long on a short link as on a long one
FULL_PASSAGES = 2000.0  # a link's sums are halved here, so that they follow the seasons
WEIGHT_RIDGE = 20.0  # squared deviations of the factor after which its weight is believed by half
OWN_S = 1200.0  # seconds of driving after which a bus's own pace is what it was seen to be, by half
OWN_RIDGE_S = 150.0  # s times squared deviation; 150 passages of 45 s, a seventh off, are believed by half
OWN_MOST = 1.5  # the weight of own paces is at most this: OWN_S was taken to be cautious
OWN_SLOWEST, OWN_QUICKEST = 1.5, 0.7
HOLD_RIDGE = 500.0 * 60.0 * 60.0  # s^2; 500 buses a minute early are believed by half
MAX_HOLD = 0.6
TIMEPOINT_HOLD = 0.75  # at stops where buses wait for the time, before any was seen
TIMEPOINT_RIDGE = 20.0 * 60.0 * 60.0  # s^2; 20 buses a minute early are believed by half
MOST_EARLY_S = 300.0  # who is earlier is on another trip than was thought
JAM_RELAX_S = 1800.0  # of a jam ahead, what is left when the bus gets there
ARRIVED_S = 15.0  # standing beside a stop for so long is having come to it
STOOD_S = 60.0  # standing for longer is neither a stop nor a light
STOOD_MEDIAN = 0.3  # seconds more per second stood: waits are heavy-tailed, the longer the longer
STOOD_WIDE = 0.7
STOOD_MAX_S = 1200.0
STUCK_S = 120.0  # residuals of buses that stood for longer are a class of their own
TOLD_SHARE = 0.12  # told earlier than the median by this share of the time to go: missing the bus weighs more
TOLD_MAX_S = 120.0
RISE_S = 1.0  # from stop to stop
MOVED_S = 15.0  # said again when the median moved by more than this
MOVED_SHARE = 0.05  # or this share of the time to go
REPEAT_S = 30.0  # or after this
SLOWEST = 0.005  # step of the tracked quantiles: a quicker one chases the jam of half an hour ago
ALIKE = 20.0  # estimates of one minute and bin that count in full: more of them say the same again
HORIZON_S = 3600.0  # told is what may come within the hour: what is expected to, or its p10
NOTHING = -(2**31)  # in the memory of what was said


@kernel
def running_times(
    hour, prior_s, sum_s, sum_prior_s, hour_s, hour_prior_s, net_s, net_expected_s,
    recent_s, recent_expected_s, recent_net, near_start, near_link, near_weight, weight,
):  # fmt: skip
    """Expected running time of every link at one hour.

    hour        0..47: hour of a weekday, or 24 + hour at the weekend, local
    prior_s     (n,) f8 from the timetable
    sum_s, sum_prior_s  (n,) f8 passages and the timetable's seconds for them, all hours
    hour_s, hour_prior_s  (n, 48) f4 the same by hour
    net_s, net_expected_s  (48,) f8 the network's passages by hour, and what the links' means had said
    recent_s, recent_expected_s  (n,) f8 decaying sums; recent_net (2,) f8 the same of the network
    near_start, near_link, near_weight  CSR: neighbours of each link within 4 links and their weights
    weight      of the recent factor, 0 off .. 1

    Returns usual_s (n,) without the recent factor, factor (n,) the recent factor at full weight, and the product
    that holds, expected_s (n,).
    """
    n = len(prior_s)
    usual, factor, expected = np.empty(n), np.empty(n), np.empty(n)
    mean = 0.0
    for i in range(n):
        mean += prior_s[i]
    mean /= max(n, 1)
    day, of_day = hour // 24 * 24, hour % 24
    before, after = day + (of_day + 23) % 24, day + (of_day + 1) % 24
    much = NETWORK_PASSAGES * mean
    net_hour = (net_s[hour] + much) / (net_expected_s[hour] + much)
    # a neighbouring hour tells how this link differs, not how slow this hour is
    of_before = net_hour * (net_expected_s[before] + much) / (net_s[before] + much)
    of_after = net_hour * (net_expected_s[after] + much) / (net_s[after] + much)
    of_late = RECENT_NETWORK_PASSAGES * mean
    net = (recent_net[0] + of_late) / (recent_net[1] + of_late)
    for i in range(n):
        m = prior_s[i]
        link = (sum_s[i] + PRIOR_PASSAGES * m) / (sum_prior_s[i] + PRIOR_PASSAGES * m)
        seen = hour_s[i, hour] + 0.5 * (of_before * hour_s[i, before] + of_after * hour_s[i, after])
        planned = hour_prior_s[i, hour] + 0.5 * (hour_prior_s[i, before] + hour_prior_s[i, after])
        usual[i] = m * (seen + HOUR_PASSAGES * m * link * net_hour) / (planned + HOUR_PASSAGES * m)
        a, b = NEIGHBOUR_PASSAGES * m * net, NEIGHBOUR_PASSAGES * m
        for k in range(near_start[i], near_start[i + 1]):
            a += near_weight[k] * recent_s[near_link[k]]
            b += near_weight[k] * recent_expected_s[near_link[k]]
        near = a / b
        factor[i] = (recent_s[i] + LINK_PASSAGES * m * near) / (recent_expected_s[i] + LINK_PASSAGES * m)
        expected[i] = usual[i] * (1.0 + weight * (factor[i] - 1.0))
    return usual, factor, expected


@kernel
def learn(
    vehicle, link, hour, at, seconds, early_s, timepoint, now, usual, factor, expected, prior_s, sum_s, sum_prior_s,
    hour_s, hour_prior_s, net_s, net_expected_s, recent_s, recent_expected_s, recent_net, fits, own_s, own_expected_s,
    own_at,
):  # fmt: skip
    """Learn from closed passages of links, in their order.

    vehicle, link  (n,) i8
    hour      (n,) i8 0..47
    at        (n,) f8 POSIX seconds at the link's end, at or before `now`
    seconds   (n,) f8 arrival to arrival (departure to arrival on the first link)
    early_s   (n,) f8 how long before the planned departure the bus came to the link's first stop; NaN without a plan
    timepoint (n,) bool whether buses wait for the time at that stop
    now       decaying sums are those of this moment (the caller has let them decay to it)
    usual, factor, expected  (n_links,) f8 of `running_times`, before any of these passages
    fits      (8,) f8 sums of four regressions: weight of the recent factor xy, xx; hold xy, xx; hold at timepoints
              xy, xx; weight of own paces xy, xx
    own_s, own_expected_s, own_at  (vehicles,) f8 decaying sums of each vehicle's passages, and the time they are of

    Everything from sum_s on is changed in place. A passage is clipped to 0.3 times the timetable, and to three times
    and a minute; at a timepoint without the wait that is expected of a bus so early.
    """
    _, _, held, _ = fitted(fits)
    for k in range(len(link)):
        v, i, h = vehicle[k], link[k], hour[k]
        m = prior_s[i]
        e = min(max(early_s[k], 0.0), MOST_EARLY_S) if early_s[k] > 0.0 else 0.0  # NaN: no plan
        raw = seconds[k]
        longest = HIGH * m + LONG_S
        if timepoint[k] and e > 0.0:
            fits[4] += (min(raw, longest + e) - usual[i]) * e
            fits[5] += e * e
            raw -= held * e
        t = min(max(raw, LOW * m), longest)
        x = factor[i] - 1.0
        fits[0] += (t / usual[i] - 1.0) * x
        fits[1] += x * x
        if not timepoint[k]:
            fits[2] += (t - usual[i]) * e
            fits[3] += e * e
        mean = m * (sum_s[i] + PRIOR_PASSAGES * m) / (sum_prior_s[i] + PRIOR_PASSAGES * m)
        net_s[h] += t
        net_expected_s[h] += mean
        sum_s[i] += t
        sum_prior_s[i] += m
        hour_s[i, h] += t
        hour_prior_s[i, h] += m
        if sum_prior_s[i] > FULL_PASSAGES * m:
            sum_s[i] *= 0.5
            sum_prior_s[i] *= 0.5
        if hour_prior_s[i, h] > 0.1 * FULL_PASSAGES * m:
            hour_s[i, h] *= 0.5
            hour_prior_s[i, h] *= 0.5
        w = np.exp((at[k] - now) / RECENT_S)
        recent_s[i] += w * t
        recent_expected_s[i] += w * usual[i]
        recent_net[0] += w * t
        recent_net[1] += w * usual[i]
        own = own_pace(at[k], own_s[v], own_expected_s[v], own_at[v]) - 1.0
        fits[6] += (t - expected[i]) * own
        fits[7] += expected[i] * own * own
        kept = np.exp(-max(at[k] - own_at[v], 0.0) / RECENT_S)
        own_s[v] = kept * own_s[v] + t
        own_expected_s[v] = kept * own_expected_s[v] + expected[i]
        own_at[v] = at[k]


@kernel
def fitted(fits):
    """From their regressions: weight of the recent factor and strength of the hold, which start at 0, strength of the
    hold at timepoints, which GTFS says are kept to, and weight of own paces, which starts at 0."""
    weight = min(max(fits[0] / (fits[1] + WEIGHT_RIDGE), 0.0), 1.0)
    hold = min(max(fits[2] / (fits[3] + HOLD_RIDGE), 0.0), MAX_HOLD)
    at_timepoint = (fits[4] + TIMEPOINT_HOLD * TIMEPOINT_RIDGE) / (fits[5] + TIMEPOINT_RIDGE)
    own = min(max(fits[6] / (fits[7] + OWN_RIDGE_S), 0.0), OWN_MOST)
    return weight, hold, min(max(at_timepoint, 0.0), 1.0), own


@kernel
def own_pace(now, own_s, own_expected_s, own_at):
    """What a bus took for the links behind it over what was expected of any bus there, shrunk to 1; sums as in `learn`.

    A driver who was slow on one trip is slow on the next.
    """
    kept = np.exp(-max(now - own_at, 0.0) / RECENT_S)
    return (kept * own_s + OWN_S) / (kept * own_expected_s + OWN_S)


@kernel
def own_paces(now, vehicle, waiting, own_s, own_expected_s, own_at, weight):
    """By how much each vehicle's running times are longer than others': (n,) f8.

    vehicle, waiting  (n,) i8, bool: one that waits at its terminal is as quick as any (it leaves the later, the
                      earlier it came)
    own_s, own_expected_s, own_at  as in `learn`
    weight            of `fitted`
    """
    out = np.ones(len(vehicle))
    for k in range(len(vehicle)):
        if not waiting[k]:
            v = vehicle[k]
            pace = 1.0 + weight * (own_pace(now, own_s[v], own_expected_s[v], own_at[v]) - 1.0)
            out[k] = min(max(pace, OWN_QUICKEST), OWN_SLOWEST)
    return out


@kernel
def left_of_link(running_s, length_m, gone_m):
    """Seconds left of a link of which `gone_m` metres are gone: the dwell first, the rest by length."""
    length = max(length_m, 1.0)
    gone = min(max(gone_m, 0.0), length)
    dwell = min(DWELL_S, DWELL_SHARE * running_s)
    return running_s - dwell * min(gone / min(DWELL_M, length), 1.0) - (running_s - dwell) * gone / length


@kernel
def estimate(
    now, pattern, dist_m, anchor, next_pos, depart_at, stood_s, stray, plan_start, plan_row, scale, row_start,
    pstop_start, pstop_dist_m, pstop_link, plan_departure_s, plan_timepoint, expected_s, later_s, jam_s, hold, centre_s,
    quantiles, base, p10, p50, p90, told, klass,
):  # fmt: skip
    """When each vehicle reaches each stop ahead.

    now        record time, POSIX seconds
    pattern, dist_m, anchor  (v,) i8, f8, f8: place of each vehicle and the time of the ping that said so
    next_pos   (v,) i8 first stop not yet passed
    depart_at  (v,) f8 when a bus that waits at its first stop will leave; NaN: it is under way
    stood_s    (v,) f8 for how long it has not moved
    stray      (v,) bool off route: its place is where it left
    plan_start, plan_row  (v,) POSIX seconds of the service day's zero, and first row of the trip's planned times
               (-1: no plan)
    scale      (v,) f8 running time of the trip over that of its pattern's links, by the timetable
    row_start  (v + 1,) i8 where each vehicle's rows begin in the answer: one per stop from next_pos to the last
    pstop_start, pstop_dist_m, pstop_link, plan_departure_s, plan_timepoint  of the network
    expected_s, later_s  (n_links,) f8 running times now, and LATER_S later
    jam_s      (n_links,) f8 more at present
    hold       (2,) f8 share of a bus's earliness that is waited off: at a stop, and at a timepoint
    centre_s   (b,) f8 centres of the horizon's bins; quantiles (3, b, 3) residual p10, p50, p90 by class
               (0 under way, 1 waiting, 2 stuck or off route) and bin
    base .. klass  (rows,) the answer, filled in place: base is the estimate before its residual's quantiles; NaN
               where it and p10 lie beyond HORIZON_S

    The rows of one vehicle rise by RISE_S at least, p10 <= p50 <= p90, now < p10, p10 <= told <= p50 and
    told >= p50 - TOLD_MAX_S.
    """
    last_bin = len(centre_s) - 1
    for v in range(len(pattern)):
        first = pstop_start[pattern[v]]
        stops = pstop_start[pattern[v] + 1] - first
        pos = next_pos[v]
        waiting = not np.isnan(depart_at[v])
        kind = 1 if waiting else (2 if stray[v] or stood_s[v] > STUCK_S else 0)
        stood = 0.0 if waiting else min(max(stood_s[v] - STOOD_S, 0.0), STOOD_MAX_S)
        jams = 0.0
        b = 0
        low, mid, high, say = now, now, now, now
        a = max(depart_at[v], now) if waiting else max(anchor[v], now - 120.0)
        for k in range(row_start[v + 1] - row_start[v]):
            row = row_start[v] + k
            i = pos + k
            if i == 0:
                a += max(pstop_dist_m[first] - MARGIN_M - dist_m[v], 0.0) / APPROACH_MPS
            else:
                link = pstop_link[first + i - 1]
                length = pstop_dist_m[first + i] - pstop_dist_m[first + i - 1]
                jam = jam_s[link]
                if jam > 0.0:
                    jam *= np.exp(-max(a - now, 0.0) / JAM_RELAX_S)
                share = min(max(a - now, 0.0) / LATER_S, 1.0)
                running = (expected_s[link] + share * (later_s[link] - expected_s[link])) * scale[v] + jam
                if k == 0 and not waiting:
                    gone = dist_m[v] - pstop_dist_m[first + i - 1] + MARGIN_M
                    row_of = plan_row[v] + i - 1
                    if plan_row[v] >= 0 and i > 1 and gone <= 2.0 * MARGIN_M and plan_timepoint[row_of]:
                        early = plan_start[v] + plan_departure_s[row_of] - a
                        if early > 0.0:  # it waits for the time and is not stuck
                            a += hold[1] * min(early, MOST_EARLY_S)
                            stood = 0.0
                            kind = 2 if stray[v] else 0
                    left = left_of_link(running, length, gone)
                    jams += jam * left / max(running, 1e-9)
                    a += left + STOOD_MEDIAN * stood
                else:
                    if plan_row[v] >= 0 and (k > 0 or i > 1):
                        row_of = plan_row[v] + i - 1
                        early = plan_start[v] + plan_departure_s[row_of] - a
                        a += hold[1 if plan_timepoint[row_of] else 0] * min(max(early, 0.0), MOST_EARLY_S)
                    jams += jam
                    a += running
            reached = max(a, now)
            h = reached - now
            while b < last_bin and centre_s[b + 1] <= h:
                b += 1
            share = 0.0 if b == last_bin else min(max((h - centre_s[b]) / (centre_s[b + 1] - centre_s[b]), 0.0), 1.0)
            beyond = max(h / centre_s[last_bin], 1.0)
            up = min(b + 1, last_bin)
            q0 = (quantiles[kind, b, 0] * (1.0 - share) + quantiles[kind, up, 0] * share) * beyond
            q1 = (quantiles[kind, b, 1] * (1.0 - share) + quantiles[kind, up, 1] * share) * beyond
            q2 = (quantiles[kind, b, 2] * (1.0 - share) + quantiles[kind, up, 2] * share) * beyond
            mid = max(reached + q1, mid + RISE_S)
            low = max(min(reached + q0 - 0.3 * jams, mid), low + RISE_S)
            if min(low, reached) > now + HORIZON_S or i >= stops:
                for rest in range(row, row_start[v + 1]):
                    base[rest] = p10[rest] = p50[rest] = p90[rest] = told[rest] = np.nan
                    klass[rest] = kind
                break
            high = max(reached + q2 + 0.7 * jams + STOOD_WIDE * stood, mid, high + RISE_S)
            say = max(mid - min(TOLD_SHARE * (mid - now), TOLD_MAX_S), low, say + RISE_S)
            base[row] = reached
            p10[row], p50[row], p90[row], told[row] = low, mid, high, min(say, mid)
            klass[row] = kind


@kernel
def next_stops(pattern, dist_m, gate_seq, stood_s, pstop_start, pstop_dist_m, pstop_gate_seq):
    """The first stop of its pattern that each vehicle has not passed yet: (v,) i8, the number of stops when all are.

    pattern, dist_m  (v,) i8, f8
    gate_seq         (v,) i8 last gate passed on this run, -1 none
    stood_s          (v,) f8 for how long it has not moved
    pstop_start, pstop_dist_m, pstop_gate_seq  of the network

    Passed is what a gate passing says, and what lies behind by more than the 5 m that a stop's place is good for. A
    bus that stands within MARGIN_M has come: of the last stop the passing may be told only when the run has ended.
    """
    out = np.empty(len(pattern), np.int64)
    for v in range(len(pattern)):
        first, end = pstop_start[pattern[v]], pstop_start[pattern[v] + 1]
        at = first
        reach = MARGIN_M if stood_s[v] > ARRIVED_S else -5.0
        while at < end and (pstop_gate_seq[at] <= gate_seq[v] or pstop_dist_m[at] < dist_m[v] + reach):
            at += 1
        out[v] = at - first
    return out


@kernel
def chain(
    vehicle, run, pattern, pos, arrival, departure, settled_at, plan_start, plan_row, scale, plan_departure_s,
    plan_timepoint, pstop_start, pstop_link, last_run, last_pattern, last_pos, last_arrival, last_departure,
    last_settled, ended_at, most_gap_s, out_vehicle, out_link, out_at, out_s, out_early, out_timepoint, out_wait,
):  # fmt: skip
    """Closed stop passings, in order of (arrival, run, stop), to passages of links and waits at terminals.

    vehicle, run, pattern, pos  (n,) i8; arrival, departure, settled_at (n,) f8, departure NaN while unknown
    plan_start, plan_row        (n,) POSIX zero of the service day, row of the trip's planned times (-1 none)
    scale                       (n,) as in `estimate`; passages are told as of a trip of scale 1
    last_*, ended_at            (vehicles,) where each vehicle was last seen, and when its last run ended: in place
    most_gap_s                  a passage whose ends were seen only after a longer silence is left out
    out_vehicle .. out_timepoint  (n,) filled: vehicle, link, time at its end, seconds, earliness at its start (NaN no
                                plan) and whether buses wait for the time there
    out_wait                    (n,) filled, a row per passing: how long the vehicle had stood between its last run and
                                this departure from a first stop; NaN for every other passing

    Returns how many passages there are. A stop that comes again (with its departure) is taken once; a run that comes
    to an earlier stop afterwards had made a false start.
    """
    n = 0
    for k in range(len(vehicle)):
        v = vehicle[k]
        out_wait[k] = np.nan
        first = pstop_start[pattern[k]]
        if last_run[v] == run[k]:
            if pos[k] < last_pos[v] and not arrival[k] > last_arrival[v]:
                continue
            if pos[k] == last_pos[v] + 1:
                start = last_departure[v] if last_pos[v] == 0 else last_arrival[v]
                gap = max(
                    settled_at[k] - (arrival[k] if np.isnan(departure[k]) else departure[k]),
                    last_settled[v] - (last_arrival[v] if np.isnan(last_departure[v]) else last_departure[v]),
                )
                if arrival[k] > start and gap <= most_gap_s:
                    out_vehicle[n], out_link[n] = v, pstop_link[first + last_pos[v]]
                    out_at[n], out_s[n], out_early[n] = arrival[k], (arrival[k] - start) / scale[k], np.nan
                    out_timepoint[n] = False
                    if plan_row[k] >= 0 and last_pos[v] > 0:
                        row = plan_row[k] + last_pos[v]
                        out_early[n] = plan_start[k] + plan_departure_s[row] - last_arrival[v]
                        out_timepoint[n] = plan_timepoint[row]
                    n += 1
        else:
            before = last_pattern[v]
            if last_run[v] >= 0 and last_pos[v] == pstop_start[before + 1] - pstop_start[before] - 1:
                ended_at[v] = last_arrival[v]
            else:
                ended_at[v] = np.nan
        again = last_run[v] == run[k] and last_pos[v] == pos[k]
        last_run[v], last_pattern[v], last_pos[v] = run[k], pattern[k], pos[k]
        last_settled[v] = settled_at[k]
        if not again:
            last_arrival[v], last_departure[v] = arrival[k], departure[k]
        elif not np.isnan(departure[k]):
            last_departure[v] = departure[k]
        if pos[k] == 0 and departure[k] >= ended_at[v]:  # False while either is unknown
            out_wait[k] = departure[k] - ended_at[v]
            ended_at[v] = np.nan
    return n


@kernel
def withdraw(said_p50, keep_from, keep_to, out_vehicle, out_pos):
    """Forget what was said of stops outside [keep_from, keep_to) of each vehicle, and list it.

    said_p50  (v, stops) i4, NOTHING where nothing was said, changed in place
    keep_from, keep_to  (v,) i8
    out_vehicle, out_pos  (room,) i8 filled

    Returns how many were listed; when that equals the room, call again.
    """
    n = 0
    for v in range(said_p50.shape[0]):
        for pos in range(said_p50.shape[1]):
            if said_p50[v, pos] != NOTHING and (pos < keep_from[v] or pos >= keep_to[v]):
                if n == len(out_vehicle):
                    return n
                out_vehicle[n], out_pos[n] = v, pos
                said_p50[v, pos] = NOTHING
                n += 1
    return n


@kernel
def choose(now, epoch, vehicle, next_pos, row_start, p50, told, said_p50, said_told, said_at, say):
    """Which of the estimates are to be stated now, and remember them.

    now, epoch  POSIX seconds; the memory counts deciseconds from `epoch`
    vehicle, next_pos, row_start  as in `estimate`; `vehicle` is the row of the memory
    p50, told  (rows,) f8 POSIX seconds; NaN, the last rows of a vehicle: not held, and not stated
    said_p50, said_told, said_at  (v, stops) i4 the memory, changed in place
    say        (rows,) bool, filled

    One is stated when nothing was, when its median moved by more than max(15 s, 5 % of the time to go), every 30 s,
    and when an older statement kept beside a new one would no longer rise from stop to stop.
    """
    rise = 10.0 * RISE_S
    here = np.rint((now - epoch) * 10.0)
    for r in range(len(vehicle)):
        v, pos = vehicle[r], next_pos[r]
        start, end = row_start[r], row_start[r + 1]
        while end > start and np.isnan(p50[end - 1]):
            end -= 1
            say[end] = False
        before = here
        for row in range(start, end):
            at = pos + row - start
            old = said_p50[v, at]
            new = np.rint((p50[row] - epoch) * 10.0)
            say[row] = (
                old == NOTHING
                or abs(new - old) > max(10.0 * MOVED_S, MOVED_SHARE * (new - here))
                or here - said_at[v, at] >= 10.0 * REPEAT_S
                or said_told[v, at] < before + rise
            )
            before = np.rint((told[row] - epoch) * 10.0) if say[row] else float(said_told[v, at])
        for back in range(end - start):
            row = end - 1 - back
            at = pos + row - start
            if not say[row] and back > 0 and said_told[v, at] > before - rise:
                say[row] = True
            before = np.rint((told[row] - epoch) * 10.0) if say[row] else float(said_told[v, at])
            if say[row]:
                said_p50[v, at] = np.rint((p50[row] - epoch) * 10.0)
                said_told[v, at], said_at[v, at] = before, here


@kernel
def calibrate(klass, bins, residual_s, known, tracked, spread_s, count):
    """Track the residual's quantiles p10, p50, p90, in order.

    klass, bins  (n,) i8, of the estimates of one minute
    residual_s   (n,) f8 actual minus estimate; where `known` is False the arrival has not come yet and the residual
                 is at least this
    tracked      (3, b, 3) f8, spread_s (3, b) f8 mean distance from the median, count (3, b) f8: changed in place

    Estimates for the stops ahead of one bus, and of buses in one jam, are wrong together. Where there are many in a bin
    they weigh what ALIKE do, or a large city would follow the last half hour, and its intervals be too narrow for the
    next one.

    Running quantiles: a step of tau up when above, 1 - tau down when below, of a size that falls to SLOWEST of the
    spread. Source: Robbins & Monro 1951; as online conformal tracking, Gibbs & Candes 2021.
    """
    many = np.zeros(count.shape)
    for k in range(len(klass)):
        many[klass[k], bins[k]] += 1.0
    for k in range(len(klass)):
        c, b, r = klass[k], bins[k], residual_s[k]
        weight = min(ALIKE / many[c, b], 1.0)
        step = weight * max(SLOWEST, 10.0 / (50.0 + count[c, b])) * max(spread_s[c, b], 2.0)
        for j in range(3):
            tau = 0.1 if j == 0 else (0.5 if j == 1 else 0.9)
            if r > tracked[c, b, j]:
                tracked[c, b, j] += step * tau
            elif known[k]:
                tracked[c, b, j] -= step * (1.0 - tau)
        if tracked[c, b, 0] > tracked[c, b, 1]:
            tracked[c, b, 0] = tracked[c, b, 1]
        if tracked[c, b, 2] < tracked[c, b, 1]:
            tracked[c, b, 2] = tracked[c, b, 1]
        if known[k]:
            share = weight * max(0.01, 1.0 / (10.0 + count[c, b]))
            spread_s[c, b] += share * (abs(r - tracked[c, b, 1]) - spread_s[c, b])
        count[c, b] += weight
