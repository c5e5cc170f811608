//! How much work one submission holds: what the device does in about a tenth of a second.
//!
//! Systems reset a GPU whose submission takes some seconds (Windows after two), and what else the GPU draws waits for
//! its end. What a device does in that time is measured as it works.

use std::ops::Range;
use std::time::Duration;

use web_time::Instant;

/// How long a submission may take.
const TARGET: Duration = Duration::from_millis(100);
/// FLOPs per second of a device that has shown nothing yet: those of a slow phone.
const ASSUMED_RATE: f64 = 1e11;
/// Rates of a queue that is never empty are taken over at least this time: of what was seen to end then, up to one
/// submission may have begun before.
const WINDOW: Duration = Duration::from_millis(500);
/// Time after which half of a rate is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// What a device was seen to do, in the unit of the launches' costs: a FLOP, or what takes as long.
///
/// The rate is the fastest of the recent ones. Ends are seen late, so a rate is mostly too low, and too low a rate only
/// makes more submissions.
pub(super) struct Pace {
    target: Duration,
    /// FLOPs per second.
    rate: f64,
    submissions: u64,
    /// Submissions that have not been seen to end.
    under_way: u32,
    window: Window,
}

/// A time in which the queue was never empty.
struct Window {
    began: Instant,
    /// Whether nothing was under way when it began.
    from_idle: bool,
    /// When something was last seen to end.
    until: Instant,
    /// FLOPs of what was seen to end.
    done: f64,
}

impl Window {
    fn new(began: Instant, from_idle: bool) -> Self {
        Self { began, from_idle, until: began, done: 0.0 }
    }
}

impl Pace {
    pub fn new() -> Self {
        Self {
            target: TARGET,
            rate: ASSUMED_RATE,
            submissions: 0,
            under_way: 0,
            window: Window::new(Instant::now(), true),
        }
    }

    /// Changes how long a submission may take.
    pub fn set_target(&mut self, target: Duration) {
        self.target = target;
    }

    /// Submissions so far.
    pub fn submissions(&self) -> u64 {
        self.submissions
    }

    /// FLOPs of a submission.
    pub fn room(&mut self) -> u64 {
        self.learn();
        (self.rate * self.target.as_secs_f64()) as u64
    }

    /// Something is submitted at `now`.
    pub fn begin(&mut self, now: Instant) {
        if self.under_way == 0 {
            self.learn();
            self.window = Window::new(now, true);
        }
        self.under_way += 1;
        self.submissions += 1;
    }

    /// The oldest submission, of `cost` FLOPs, was seen to have ended by `now`.
    ///
    /// Many are often seen at once, so nothing is concluded before the next is submitted.
    pub fn end(&mut self, cost: u64, now: Instant) {
        self.under_way -= 1;
        self.window.done += cost as f64;
        self.window.until = now;
    }

    /// Takes in what the window says, if it says enough, and begins another one.
    fn learn(&mut self) {
        let Window { began, from_idle, until, done } = self.window;
        let elapsed = until.saturating_duration_since(began);
        // Clocks of browsers may stand still for a while.
        let is_whole = from_idle && self.under_way == 0 && !elapsed.is_zero();
        if is_whole || elapsed >= WINDOW {
            let seconds = elapsed.as_secs_f64();
            let kept = self.rate * 0.5_f64.powf(seconds / HALF_LIFE.as_secs_f64());
            self.rate = kept.max(done / seconds);
            self.window = Window::new(until, false);
        }
    }
}

/// Cuts launches of these costs into ranges that cost at most `room` each, at least one range; a launch that costs more
/// has one to itself.
pub(super) fn cut(costs: &[u64], room: u64) -> Vec<Range<usize>> {
    let (mut ranges, mut first, mut taken) = (Vec::new(), 0, 0_u64);
    for (i, &cost) in costs.iter().enumerate() {
        if i > first && taken.saturating_add(cost) > room {
            ranges.push(first..i);
            (first, taken) = (i, 0);
        }
        taken = taken.saturating_add(cost);
    }
    ranges.push(first..costs.len());
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_cut_where_the_room_ends() {
        let ends = |costs: &[u64], room| -> Vec<usize> {
            let ranges = cut(costs, room);
            assert!(
                ranges.windows(2).all(|pair| pair[0].end == pair[1].start) && ranges[0].start == 0
            );
            ranges.iter().map(|range| range.end).collect()
        };
        assert_eq!(ends(&[3, 4, 2, 1, 9, 0, 1], 7), [2, 4, 5, 7]);
        assert_eq!(ends(&[8, 8, 8], 7), [1, 2, 3], "none of them can be cut");
        assert_eq!(ends(&[3, 4, 0], 7), [3]);
        assert_eq!(ends(&[u64::MAX, u64::MAX], u64::MAX), [2], "without a limit");
        assert_eq!(ends(&[], 7), [0], "what comes before the launches is submitted all the same");
    }

    /// A device that does `rate` FLOPs a second, one submission after the other.
    struct Simulated {
        pace: Pace,
        rate: f64,
        now: Instant,
        /// When it is done with all that was submitted.
        free: Instant,
        /// Cost and end of what was submitted and not seen to end.
        queue: std::collections::VecDeque<(u64, Instant)>,
    }

    impl Simulated {
        fn new(rate: f64) -> Self {
            let now = Instant::now();
            Self { pace: Pace::new(), rate, now, free: now, queue: Default::default() }
        }

        /// Submits a step of `launches` launches of `cost` each; returns the number of submissions.
        fn submit(&mut self, launches: usize, cost: u64) -> usize {
            let ranges = cut(&vec![cost; launches], self.pace.room());
            for range in &ranges {
                let cost = cost * range.len() as u64;
                self.pace.begin(self.now);
                let took = Duration::from_secs_f64(cost as f64 / self.rate);
                self.free = self.free.max(self.now) + took;
                self.queue.push_back((cost, self.free));
            }
            ranges.len()
        }

        /// Lets time pass, and then sees what has ended.
        fn look_after(&mut self, time: Duration) {
            self.now += time;
            while let Some((cost, _)) = self.queue.pop_front_if(|(_, end)| *end <= self.now) {
                self.pace.end(cost, self.now);
            }
        }

        /// How long what fits in a submission would take.
        fn seconds_of_room(&mut self) -> f64 {
            self.pace.room() as f64 / self.rate
        }

        fn wait(&mut self) {
            self.look_after(self.free.saturating_duration_since(self.now));
        }
    }

    #[test]
    fn a_fast_device_gets_whole_steps_after_the_first() {
        // 50 ms a step.
        let mut device = Simulated::new(40e12);
        assert_eq!(device.submit(500, 4_000_000_000), 250);
        device.wait();
        assert_eq!(device.submit(500, 4_000_000_000), 1);
        device.wait();
        assert!((device.seconds_of_room() - 0.1).abs() < 1e-6);
    }

    #[test]
    fn a_slow_device_gets_a_tenth_of_a_second() {
        for rate in [3e9, 2e11] {
            let mut device = Simulated::new(rate);
            let cost = (rate / 200.0) as u64;
            for _ in 0..5 {
                device.submit(400, cost);
                device.wait();
            }
            // Two seconds of launches of 5 ms.
            let submissions = device.submit(400, cost);
            assert!((20..=21).contains(&submissions), "{submissions}");
            assert!(device.seconds_of_room() <= 0.1 + 1e-6);
        }
    }

    #[test]
    fn a_queue_that_is_never_empty_is_measured_too() {
        let mut device = Simulated::new(1e12);
        // 30 ms a step, three of them ahead; looked at when the next one is made, mostly late.
        for step in 0..300 {
            device.submit(30, 1_000_000_000);
            while device.queue.len() > 3 {
                device.look_after(Duration::from_millis(7 + step % 50));
            }
        }
        let seconds = device.seconds_of_room();
        assert!((0.09..0.13).contains(&seconds), "{seconds}");
        // It was slowed down to a tenth, and hurries again.
        for (rate, expected) in [(1e11, 0.09..0.13), (1e12, 0.09..0.13)] {
            device.rate = rate;
            for _ in 0..200 {
                device.submit(30, 1_000_000_000);
                while device.queue.len() > 3 {
                    device.look_after(Duration::from_millis(11));
                }
            }
            let seconds = device.seconds_of_room();
            assert!(expected.contains(&seconds), "{seconds} at {rate}");
        }
    }

    #[test]
    fn pauses_do_not_count() {
        let mut device = Simulated::new(1e12);
        for _ in 0..20 {
            device.submit(30, 1_000_000_000);
            device.wait();
            device.look_after(Duration::from_secs(5));
        }
        assert!((device.seconds_of_room() - 0.1).abs() < 1e-6);
    }

    #[test]
    fn one_late_look_costs_a_few_submissions_once() {
        let mut device = Simulated::new(1e12);
        device.submit(30, 1_000_000_000);
        device.look_after(Duration::from_secs(60));
        assert!(device.submit(30, 1_000_000_000) > 1);
        device.wait();
        assert_eq!(device.submit(30, 1_000_000_000), 1);
    }

    #[test]
    fn the_time_of_a_submission_can_be_chosen() {
        let mut pace = Pace::new();
        pace.set_target(Duration::MAX);
        assert_eq!(pace.room(), u64::MAX);
        pace.set_target(Duration::ZERO);
        assert_eq!(pace.room(), 0);
    }
}
