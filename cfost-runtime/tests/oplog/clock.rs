//! Timestamps never go back, whatever the wall clock does.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use cfost_runtime::clock::{DRIFT_MS_MAX, Hlc, Timestamp, within_drift};
use proptest::prelude::*;

use crate::cases;

/// What happens to a clock.
#[derive(Clone, Debug)]
enum Event {
    /// It is asked for a timestamp while the wall clock shows this.
    Now { wall_ms: u64 },
    /// A change from another device is seen while the wall clock shows this.
    Observe { remote: Timestamp, wall_ms: u64 },
    /// Another process on the same database wrote a timestamp.
    Advance { to: Timestamp },
}

/// A wall clock that runs, jumps, stalls and runs backwards, around a common time and at both ends.
fn wall_ms() -> impl Strategy<Value = u64> {
    const NOON: u64 = 1_700_000_000_000;
    prop_oneof![
        4 => Just(NOON),
        8 => NOON - 20..NOON + 20,
        4 => NOON - 2 * DRIFT_MS_MAX..NOON + 2 * DRIFT_MS_MAX,
        1 => 0..20u64,
        1 => Timestamp::MS_MAX - 20..=Timestamp::MS_MAX,
        1 => any::<u64>(),
    ]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (wall_ms(), prop_oneof![0..4u64, 65_530..65_540u64]).prop_map(|(ms, ticks)| Timestamp::from_ms(ms).plus(ticks)),
        1 => any::<u64>().prop_map(Timestamp::from_u64),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => wall_ms().prop_map(|wall_ms| Event::Now { wall_ms }),
        2 => (timestamp(), wall_ms()).prop_map(|(remote, wall_ms)| Event::Observe { remote, wall_ms }),
        1 => timestamp().prop_map(|to| Event::Advance { to }),
    ]
}

/// What the clock must do, in numbers that can't overflow.
fn expected_now(last: u128, wall_ms: u64) -> u128 {
    let wall = u128::from(wall_ms.min(Timestamp::MS_MAX)) << 16;
    (last + 1).max(wall).min(u128::from(u64::MAX))
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// The clock gives exactly what Kulkarni and Demirbas' algorithm gives.
    #[test]
    fn a_clock_does_what_its_definition_says(start in timestamp(), events in prop::collection::vec(event(), 1..60)) {
        let clock = Hlc::new(start);
        let mut last = u128::from(start.as_u64());
        for event in events {
            match event {
                Event::Now { wall_ms } => {
                    last = expected_now(last, wall_ms);
                    prop_assert_eq!(u128::from(clock.now(wall_ms).as_u64()), last);
                }
                Event::Observe { remote, wall_ms } => {
                    let near = remote.ms() <= wall_ms.saturating_add(DRIFT_MS_MAX);
                    prop_assert_eq!(clock.observe(remote, wall_ms), near);
                    if near {
                        last = last.max(remote.as_u64().into());
                    }
                }
                Event::Advance { to } => {
                    clock.advance_to(to);
                    last = last.max(to.as_u64().into());
                }
            }
            prop_assert_eq!(u128::from(clock.last().as_u64()), last);
        }
    }

    /// A timestamp is later than all the device gave or saw before, and not before its wall clock.
    #[test]
    fn time_never_goes_back(start in timestamp(), events in prop::collection::vec(event(), 1..60)) {
        let clock = Hlc::new(start);
        let mut seen = start;
        for event in events {
            match event {
                Event::Now { wall_ms } => {
                    let now = clock.now(wall_ms);
                    prop_assert!(now > seen || now == Timestamp::MAX, "{now:?} after {seen:?}");
                    prop_assert!(now.ms() >= wall_ms.min(Timestamp::MS_MAX));
                    seen = now;
                }
                Event::Observe { remote, wall_ms } if clock.observe(remote, wall_ms) => seen = seen.max(remote),
                Event::Observe { .. } => {}
                Event::Advance { to } => {
                    clock.advance_to(to);
                    seen = seen.max(to);
                }
            }
        }
    }

    /// Whatever others send, a device is never dragged more than the drift ahead of the latest time its
    /// own wall clock ever showed, but for one tick per timestamp that it gave.
    #[test]
    fn nobody_drags_a_clock_into_the_future(
        events in prop::collection::vec((any::<bool>(), timestamp(), 0..Timestamp::MS_MAX / 2), 1..60),
    ) {
        let clock = Hlc::new(Timestamp::ZERO);
        let (mut latest_wall, mut given) = (0, 0);
        for (ask, remote, wall_ms) in events {
            latest_wall = latest_wall.max(wall_ms);
            if ask {
                clock.now(wall_ms);
                given += 1;
            } else {
                let before = clock.last();
                let moved = clock.observe(remote, wall_ms);
                prop_assert_eq!(moved, within_drift(remote, wall_ms));
                prop_assert!(moved || clock.last() == before);
            }
            let bound = Timestamp::from_ms(latest_wall + DRIFT_MS_MAX + 1).plus(given);
            prop_assert!(clock.last() < bound, "{:?} beyond {bound:?}", clock.last());
        }
    }

    /// Along every chain of messages between devices timestamps grow, however wrong their wall clocks
    /// are, as long as they are wrong by less than the drift.
    #[test]
    fn an_answer_is_later_than_what_it_answers(
        skews in prop::collection::vec(0..DRIFT_MS_MAX, 2..6),
        hops in prop::collection::vec((any::<prop::sample::Index>(), 0..40u64), 1..80),
    ) {
        let devices: Vec<(Hlc, u64)> = skews.iter().map(|skew| (Hlc::new(Timestamp::ZERO), *skew)).collect();
        let (mut time_ms, mut message) = (1_700_000_000_000, Timestamp::ZERO);
        for (to, passed_ms) in hops {
            time_ms += passed_ms;
            let (clock, skew) = &devices[to.index(devices.len())];
            prop_assert!(clock.observe(message, time_ms + skew), "{message:?} is within the drift");
            let answer = clock.now(time_ms + skew);
            prop_assert!(answer > message);
            message = answer;
        }
    }

    /// The milliseconds and the counter are what went in, and integers order as (milliseconds, counter).
    #[test]
    fn a_timestamp_is_its_milliseconds_and_its_counter(
        a in (0..=Timestamp::MS_MAX, any::<u16>()),
        b in (0..=Timestamp::MS_MAX, any::<u16>()),
    ) {
        let [ta, tb] = [a, b].map(|(ms, counter)| Timestamp::from_ms(ms).plus(counter.into()));
        prop_assert_eq!((ta.ms(), ta.counter()), a);
        prop_assert_eq!(ta.cmp(&tb), a.cmp(&b));
        prop_assert_eq!(Timestamp::from_u64(ta.as_u64()), ta);
    }

    /// A clock that starts where another stopped goes on as the other would have.
    #[test]
    fn a_restart_goes_unnoticed(start in timestamp(), walls in prop::collection::vec(wall_ms(), 1..30)) {
        let steady = Hlc::new(start);
        let mut restarted = Hlc::new(start);
        for wall_ms in walls {
            prop_assert_eq!(steady.now(wall_ms), restarted.now(wall_ms));
            restarted = Hlc::new(restarted.last());
        }
    }
}

const THREADS: u64 = 8;
const TIMESTAMPS_EACH: u64 = 5_000;

/// Wall clocks of threads: one runs, one stalls, one runs backwards, one jumps about.
fn wall_of_thread(thread: u64, step: u64) -> u64 {
    match thread % 4 {
        0 => 1_000 + step,
        1 => 1_000,
        2 => 1_000_000 - step,
        _ => (step * 7_919) % 100_000,
    }
}

#[test]
fn no_two_threads_get_the_same_timestamp_and_none_goes_back() {
    let clock = Hlc::new(Timestamp::ZERO);
    let start = Barrier::new(THREADS as usize);
    let given: Vec<Vec<Timestamp>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (clock, start) = (&clock, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..TIMESTAMPS_EACH).map(|step| clock.now(wall_of_thread(thread, step))).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for timestamps in &given {
        assert!(timestamps.is_sorted_by(|a, b| a < b), "a thread saw time go back");
    }
    let distinct: HashSet<Timestamp> = given.iter().flatten().copied().collect();
    assert_eq!(distinct.len() as u64, THREADS * TIMESTAMPS_EACH, "a timestamp was given twice");
    assert_eq!(distinct.into_iter().max(), Some(clock.last()));
}

#[test]
fn what_one_thread_saw_is_earlier_than_what_another_gets_after_hearing_of_it() {
    let clock = Hlc::new(Timestamp::ZERO);
    // The newest timestamp that some thread has told the others of.
    let told = AtomicU64::new(0);
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (clock, told, start) = (&clock, &told, &start);
            scope.spawn(move || {
                start.wait();
                for step in 0..TIMESTAMPS_EACH {
                    let heard = Timestamp::from_u64(told.load(Ordering::Acquire));
                    let wall_ms = wall_of_thread(thread, step);
                    let mine = if step % 3 == 0 {
                        let remote = Timestamp::from_ms(wall_ms + thread);
                        assert!(clock.observe(remote, wall_ms));
                        clock.now(wall_ms).max(remote)
                    } else {
                        clock.now(wall_ms)
                    };
                    assert!(mine > heard, "thread {thread}, step {step}: {mine:?} after {heard:?}");
                    told.fetch_max(mine.as_u64(), Ordering::Release);
                }
            });
        }
    });
}
