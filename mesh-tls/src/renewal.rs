//! When a certificate is to be renewed, whatever the clock does.

use std::time::{Duration, Instant, SystemTime};

/// One look at both clocks: the wall clock, which certificates speak of and which may jump,
/// and the steady one, which may stand still while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock.
    pub wall: SystemTime,
    /// The steady clock.
    pub steady: Instant,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }
}

/// A jump of the wall clock wakes nobody, so it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// At two thirds of the life that is left at `now`, and up to a tenth of that life earlier:
/// `jitter` (0 to 1) says how much of the tenth, so that a mesh that was started at once
/// does not renew at once. `now` is when the certificate came; none when `now` is not within
/// its life, and so one of the two clocks is wrong.
pub fn renew_at(
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
    jitter: f64,
) -> Option<SystemTime> {
    if now < not_before {
        return None;
    }
    let life = not_after.duration_since(now).ok().filter(|life| !life.is_zero())?;
    Some(now + share(life, jitter))
}

fn share(life: Duration, jitter: f64) -> Duration {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    life.mul_f64(2.0 / 3.0 - jitter / 10.0)
}

/// When one certificate is due for renewal: when the wall clock says so, or the steady one,
/// whichever is first. A clock set back cannot delay it beyond the certificate's end, one
/// set forward, or a machine that slept, brings it at once.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    wall: Option<SystemTime>,
    steady: Instant,
}

impl Renewal {
    /// For a certificate that came just now; `jitter` as for [`renew_at`].
    pub fn new(not_before: SystemTime, not_after: SystemTime, now: Moment, jitter: f64) -> Self {
        let wall = renew_at(not_before, not_after, now.wall, jitter);
        let life = match wall {
            Some(_) => not_after.duration_since(now.wall),
            // This machine's clock is wrong: of the life, only its length is believed.
            None => not_after.duration_since(not_before),
        };
        let steady = now.steady + share(life.unwrap_or_default(), jitter);
        Self { wall, steady }
    }

    /// How long to wait before looking again, at most 30 s; zero when it is due.
    pub fn wait(&self, now: Moment) -> Duration {
        let by_steady = self.steady.saturating_duration_since(now.steady);
        let by_wall = match self.wall {
            Some(wall) => wall.duration_since(now.wall).unwrap_or_default(),
            None => Duration::MAX,
        };
        by_steady.min(by_wall).min(LOOK_EVERY)
    }

    /// Whether this machine's clock was outside the certificate's life when it came.
    pub fn clock_is_wrong(&self) -> bool {
        self.wall.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn day() -> (SystemTime, SystemTime, Moment) {
        let now = Moment::now();
        (now.wall - Duration::from_secs(120), now.wall + 24 * HOUR, now)
    }

    fn later(now: Moment, wall: Duration, steady: Duration) -> Moment {
        Moment { wall: now.wall + wall, steady: now.steady + steady }
    }

    #[test]
    fn at_two_thirds_and_a_little_earlier_by_jitter() {
        let (before, after, now) = day();
        assert_eq!(renew_at(before, after, now.wall, 0.0), Some(now.wall + 16 * HOUR));
        let early = renew_at(before, after, now.wall, 1.0).unwrap();
        assert_eq!(early.duration_since(now.wall).unwrap().as_secs(), 48_960);
        for jitter in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(renew_at(before, after, now.wall, jitter).is_some());
        }
        assert_eq!(renew_at(before, after, after, 0.0), None);
        assert_eq!(renew_at(before, after, before - HOUR, 0.0), None);
        assert_eq!(renew_at(after, before, now.wall, 0.0), None);
    }

    #[test]
    fn a_short_life_is_counted_from_its_receipt() {
        let now = Moment::now();
        let (before, after) =
            (now.wall - Duration::from_secs(120), now.wall + Duration::from_secs(9));
        let renewal = Renewal::new(before, after, now, 0.0);
        assert_eq!(renewal.wait(now).as_secs(), 6);
        assert_eq!(renewal.wait(later(now, HOUR, Duration::ZERO)), Duration::ZERO);
    }

    #[test]
    fn both_clocks_are_looked_at() {
        let (before, after, now) = day();
        let renewal = Renewal::new(before, after, now, 0.0);
        assert_eq!(renewal.wait(now), LOOK_EVERY);
        let almost = 16 * HOUR - Duration::from_secs(5);
        assert_eq!(renewal.wait(later(now, almost, almost)).as_secs(), 5);
        assert_eq!(renewal.wait(later(now, 17 * HOUR, Duration::ZERO)), Duration::ZERO, "forward");
        let back = Moment { wall: now.wall - 100 * HOUR, steady: now.steady + 16 * HOUR };
        assert_eq!(renewal.wait(back), Duration::ZERO, "set back");
    }

    #[test]
    fn with_a_wrong_clock_the_length_of_the_life_counts() {
        let (before, after, now) = day();
        for wrong in [now.wall - 1000 * HOUR, now.wall + 1000 * HOUR] {
            let came = Moment { wall: wrong, ..now };
            let renewal = Renewal::new(before, after, came, 0.0);
            assert!(renewal.clock_is_wrong());
            assert_eq!(renewal.wait(came), LOOK_EVERY, "no hurry: a new one would be no better");
            assert_eq!(renewal.wait(later(came, Duration::ZERO, 17 * HOUR)), Duration::ZERO);
        }
    }
}
