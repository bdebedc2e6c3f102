//! Who is ejected, and who comes back.

use std::time::{Duration, Instant};

use super::rates::{Rates, threshold};
use super::stats::OutlierStats;
use crate::config::{OutlierDetection, VolumeSettings};
use crate::endpoint::{Flag, Member, Monitor, Rate, Reason};
use crate::random;

/// One look at the endpoints of a cluster.
pub(super) struct Ejector<'a> {
    settings: &'a OutlierDetection,
    stats: &'a OutlierStats,
    members: &'a [Member],
    now: Instant,
    changed: bool,
}

/// A kind of success rate: where it is counted, and what an endpoint is ejected for.
type Kind = (fn(&Monitor) -> &Rate, Reason, Reason);

const KINDS: [Kind; 2] = [
    (|monitor| &monitor.external, Reason::SuccessRate, Reason::FailurePercentage),
    (|monitor| &monitor.local, Reason::LocalSuccessRate, Reason::LocalFailurePercentage),
];

impl<'a> Ejector<'a> {
    pub(super) fn new(
        settings: &'a OutlierDetection,
        stats: &'a OutlierStats,
        members: &'a [Member],
        now: Instant,
    ) -> Self {
        Self { settings, stats, members, now, changed: false }
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Something has happened too often in a row.
    pub(super) fn too_often(&mut self, endpoint: u64, reason: Reason) {
        // It may be gone, or ejected, by now.
        let mut members = self.members.iter().filter(|member| !is_ejected(member));
        let Some(member) = members.find(|member| member.endpoint.id == endpoint) else { return };
        self.stats.count_detected(reason);
        self.eject(member, reason);
        member.endpoint.standing.monitor().reset(reason);
    }

    /// Another interval has passed.
    pub(super) fn interval(&mut self, rates: &[Rates; 2]) {
        for member in self.members {
            self.let_back(member);
        }
        for (kind, rates) in KINDS.into_iter().zip(rates) {
            self.look_at_rates(kind, rates);
        }
        for member in self.members.iter().filter(|member| !is_ejected(member)) {
            let Some(monitor) = member.endpoint.standing.known_monitor() else { continue };
            let mut ejection = monitor.ejection();
            let is_long_ago = |ended| self.now.duration_since(ended) >= self.settings.interval;
            if ejection.ended.is_some_and(is_long_ago) {
                ejection.factor = ejection.factor.saturating_sub(1);
            }
        }
    }

    fn let_back(&mut self, member: &Member) {
        if !is_ejected(member) {
            return;
        }
        let monitor = member.endpoint.standing.monitor();
        let ejection = monitor.ejection();
        let time = self.settings.base_time.saturating_mul(ejection.factor);
        let time = time.min(self.settings.max_time) + ejection.jitter;
        if ejection.since.is_some_and(|since| self.now.duration_since(since) < time) {
            return;
        }
        drop(ejection);
        self.end(member);
    }

    /// It answers health checks.
    pub(super) fn is_healthy(&mut self, endpoint: u64) {
        let mut members = self.members.iter().filter(|member| is_ejected(member));
        if let Some(member) = members.find(|member| member.endpoint.id == endpoint) {
            self.end(member);
        }
    }

    fn end(&mut self, member: &Member) {
        let monitor = member.endpoint.standing.monitor();
        monitor.ejection().ended = Some(self.now);
        member.endpoint.standing.clear(Flag::FailedOutlierCheck);
        for reason in [
            Reason::Consecutive5xx,
            Reason::ConsecutiveGatewayFailure,
            Reason::ConsecutiveLocalFailure,
        ] {
            monitor.reset(reason);
        }
        self.has_ejected();
    }

    fn eject(&mut self, member: &Member, reason: Reason) {
        let settings = self.settings;
        let ejected = self.ejected();
        let percent = 100.0 * (ejected + 1) as f64 / self.members.len() as f64;
        let has_room = percent <= f64::from(settings.max_percent);
        let has_room = has_room || (settings.always_one && ejected == 0);
        if !has_room {
            self.stats.overflow.inc();
            return;
        }
        self.stats.count_wanted(reason);
        if random::below(100) >= u64::from(settings.enforcing[reason as usize]) {
            return;
        }
        self.stats.count_enforced(reason);
        member.endpoint.standing.set(Flag::FailedOutlierCheck);
        let mut ejection = member.endpoint.standing.monitor().ejection();
        ejection.since = Some(self.now);
        let jitter = random::below(settings.max_jitter.as_millis() as u64 + 1);
        ejection.jitter = Duration::from_millis(jitter);
        // No further than one beyond the longest time.
        let time = settings.base_time.saturating_mul(ejection.factor);
        if time < settings.max_time + settings.base_time {
            ejection.factor += 1;
        }
        drop(ejection);
        self.has_ejected();
    }

    fn look_at_rates(&mut self, (of, by_rate, by_percentage): Kind, rates: &Rates) {
        rates.set((-1.0, -1.0));
        let VolumeSettings { minimum_hosts, request_volume } = self.settings.success_rate;
        let failures = self.settings.failure_percentage;
        let mut found = Vec::new();
        for member in self.members {
            let Some(monitor) = member.endpoint.standing.known_monitor() else { continue };
            let rate = of(monitor);
            let taken = rate.take().filter(|_| !is_ejected(member));
            let least = u64::from(request_volume.min(failures.request_volume));
            rate.show(taken.filter(|(_, volume)| *volume >= least).map(|(rate, _)| rate));
            found.extend(taken.map(|(rate, volume)| (member, rate, volume)));
        }
        let count = self.members.len();
        if count < minimum_hosts as usize && count < failures.minimum_hosts as usize {
            return;
        }
        let with = |volume: u32| {
            let enough = found.iter().filter(move |(_, _, had)| *had >= volume.into());
            enough.map(|(member, rate, _)| (*member, *rate)).collect::<Vec<_>>()
        };
        let compared = with(request_volume);
        if !compared.is_empty() && compared.len() >= minimum_hosts as usize {
            let all: Vec<_> = compared.iter().map(|(_, rate)| *rate).collect();
            let (average, least) = threshold(&all, self.settings.stdev_factor);
            rates.set((average, least));
            self.eject_all(compared.into_iter().filter(|(_, rate)| *rate < least), by_rate);
        }
        let measured = with(failures.request_volume);
        if !measured.is_empty() && measured.len() >= failures.minimum_hosts as usize {
            let most = f64::from(self.settings.failure_percentage_threshold);
            let failing = measured.into_iter().filter(|(_, rate)| 100.0 - rate >= most);
            self.eject_all(failing, by_percentage);
        }
    }

    fn eject_all(&mut self, members: impl Iterator<Item = (&'a Member, f64)>, reason: Reason) {
        for (member, _) in members.filter(|(member, _)| !is_ejected(member)) {
            self.stats.count_detected(reason);
            self.eject(member, reason);
        }
    }

    fn ejected(&self) -> usize {
        self.members.iter().filter(|member| is_ejected(member)).count()
    }

    fn has_ejected(&mut self) {
        self.changed = true;
        self.stats.active.set(self.ejected() as u64);
    }
}

fn is_ejected(member: &Member) -> bool {
    member.endpoint.standing.has(Flag::FailedOutlierCheck)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::endpoint::{Endpoint, Verdict};
    use crate::stats::Registry;

    struct Cluster {
        settings: OutlierDetection,
        stats: OutlierStats,
        members: Vec<Member>,
        now: Instant,
    }

    impl Cluster {
        fn new(members: u16, settings: OutlierDetection) -> Self {
            let member = |port| {
                let config = config::Endpoint::at(([127, 0, 0, 1], port).into());
                Member { endpoint: Arc::new(Endpoint::new(config.address, None, None)), config }
            };
            Self {
                settings,
                stats: OutlierStats::new(&Registry::new(1), "c"),
                members: (1..=members).map(member).collect(),
                now: Instant::now(),
            }
        }

        fn ejector(&self) -> Ejector<'_> {
            Ejector::new(&self.settings, &self.stats, &self.members, self.now)
        }

        fn too_often(&self, member: usize) {
            self.ejector().too_often(self.members[member].endpoint.id, Reason::Consecutive5xx);
        }

        /// After so many seconds.
        fn interval(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
            self.ejector().interval(&Default::default());
        }

        fn ejected(&self) -> Vec<usize> {
            (0..self.members.len()).filter(|at| is_ejected(&self.members[*at])).collect()
        }

        fn count(&self, member: usize, status: u16, times: usize) {
            let monitor = self.members[member].endpoint.standing.monitor();
            for _ in 0..times {
                monitor.count(Verdict::Status(status), &self.settings, &mut |_| {});
            }
        }
    }

    #[test]
    fn no_more_than_the_percentage_are_ejected() {
        let settings = OutlierDetection { max_percent: 50, ..OutlierDetection::default() };
        let cluster = Cluster::new(3, settings);
        cluster.too_often(0);
        cluster.too_often(1);
        assert_eq!(cluster.ejected(), [0]);
        assert_eq!((cluster.stats.overflow.value(), cluster.stats.active.value()), (1, 1));
        assert_eq!(Cluster::new(3, OutlierDetection::default()).settings.max_percent, 10);
        let always = OutlierDetection { always_one: true, ..OutlierDetection::default() };
        let cluster = Cluster::new(3, always);
        cluster.too_often(2);
        cluster.too_often(1);
        assert_eq!(cluster.ejected(), [2]);
    }

    #[test]
    fn each_ejection_is_longer_and_time_makes_it_shorter_again() {
        let settings = OutlierDetection { max_percent: 100, ..OutlierDetection::default() };
        let mut cluster = Cluster::new(2, settings);
        cluster.too_often(0);
        cluster.interval(29);
        assert_eq!(cluster.ejected(), [0]);
        cluster.interval(1);
        assert_eq!(cluster.ejected(), [0_usize; 0]);
        cluster.too_often(0);
        cluster.interval(59);
        assert_eq!(cluster.ejected(), [0]);
        cluster.interval(1);
        assert_eq!(cluster.ejected(), [0_usize; 0]);
        cluster.interval(10);
        cluster.interval(10);
        cluster.too_often(0);
        cluster.interval(30);
        assert_eq!(cluster.ejected(), [0_usize; 0]);
    }

    #[test]
    fn one_that_fails_more_than_the_others_is_ejected() {
        let settings = OutlierDetection { max_percent: 100, ..OutlierDetection::default() };
        let mut cluster = Cluster::new(5, settings);
        (0..5).for_each(|at| cluster.count(at, 200, 100));
        cluster.count(3, 500, 100);
        cluster.interval(10);
        assert_eq!(cluster.ejected(), [3]);
        assert_eq!(cluster.members[3].endpoint.standing.monitor().external.shown(), 50.0);
        assert_eq!(cluster.stats.enforced_total.value(), 1);
        // All fail alike: nobody is an outlier, but for the percentage.
        let mut enforcing = OutlierDetection::default().enforcing;
        enforcing[Reason::FailurePercentage as usize] = 100;
        let settings =
            OutlierDetection { max_percent: 100, enforcing, ..OutlierDetection::default() };
        let mut cluster = Cluster::new(5, settings);
        (0..5).for_each(|at| cluster.count(at, 500, 50));
        cluster.interval(10);
        assert_eq!(cluster.ejected(), [0, 1, 2, 3, 4]);
    }
}
