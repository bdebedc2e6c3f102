//! Which records are logged.

use crate::codec::grpc;
use crate::config::LogFilter;
use crate::formatter::{Flags, Record};
use crate::random;

/// Envoy's `AccessLogFilter`, ready to be asked.
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Flags(Flags),
    /// Any flag.
    AnyFlag,
    /// What needs no more than its configuration.
    Plain(LogFilter),
}

impl Filter {
    pub(crate) fn new(config: &LogFilter) -> Self {
        let list = |filters: &[LogFilter]| filters.iter().map(Self::new).collect();
        match config {
            LogFilter::All(filters) => Self::All(list(filters)),
            LogFilter::Any(filters) => Self::Any(list(filters)),
            LogFilter::Flags(names) if names.is_empty() => Self::AnyFlag,
            LogFilter::Flags(names) => Self::Flags(Flags::named(names.iter().map(String::as_str))),
            other => Self::Plain(other.clone()),
        }
    }

    /// Whether the record is to be logged.
    pub(crate) fn takes(&self, record: &Record<'_>) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.takes(record)),
            Self::Any(filters) => filters.iter().any(|filter| filter.takes(record)),
            Self::Flags(flags) => record.flags.intersects(*flags),
            Self::AnyFlag => record.flags != Flags::NONE,
            Self::Plain(config) => is_plainly_taken(config, record),
        }
    }
}

fn is_plainly_taken(config: &LogFilter, record: &Record<'_>) -> bool {
    match config {
        LogFilter::Status(compare, than) => compare.holds(record.response_code.into(), *than),
        LogFilter::Duration(compare, than) => {
            let duration = u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX);
            compare.holds(duration, *than)
        }
        LogFilter::Header(header) => {
            record.request.is_some_and(|request| header.matches(request.head))
        }
        LogFilter::NotHealthCheck => !record.is_health_check,
        LogFilter::Share { share, independent } => {
            let id = record.request_id_number().filter(|_| !independent);
            share.takes(id.unwrap_or_else(random::next))
        }
        LogFilter::Grpc { statuses, exclude } => {
            let status = record.grpc_status().unwrap_or(grpc::UNKNOWN);
            statuses.contains(&status) != *exclude
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::config::{Compare, Fraction};

    fn takes(config: LogFilter, change: impl FnOnce(&mut Record<'_>)) -> bool {
        let address = "127.0.0.1:1".parse().unwrap();
        let mut record = Record::new(SystemTime::now(), address, address);
        record.response_code = 503;
        record.duration = Duration::from_millis(100);
        change(&mut record);
        Filter::new(&config).takes(&record)
    }

    #[test]
    fn numbers_are_compared() {
        let status = |compare, than| takes(LogFilter::Status(compare, than), |_| ());
        assert!(status(Compare::GreaterOrEqual, 503) && !status(Compare::GreaterOrEqual, 504));
        assert!(status(Compare::LessOrEqual, 503) && !status(Compare::LessOrEqual, 502));
        assert!(status(Compare::Equal, 503) && !status(Compare::NotEqual, 503));
        assert!(takes(LogFilter::Duration(Compare::Equal, 100), |_| ()));
    }

    #[test]
    fn flags_and_health_checks() {
        let flags = |names: &[&str]| LogFilter::Flags(names.iter().map(|&n| n.into()).collect());
        let fail = |record: &mut Record<'_>| record.flags = Flags::NO_ROUTE;
        assert!(takes(flags(&["UF", "NR"]), fail) && !takes(flags(&["UF", "UAEX"]), fail));
        assert!(takes(flags(&[]), fail) && !takes(flags(&[]), |_| ()));
        assert!(takes(LogFilter::NotHealthCheck, |_| ()));
        assert!(!takes(LogFilter::NotHealthCheck, |record| record.is_health_check = true));
    }

    #[test]
    fn filters_are_joined() {
        let yes = || LogFilter::Status(Compare::Equal, 503);
        let no = || LogFilter::Status(Compare::Equal, 200);
        assert!(takes(LogFilter::Any(vec![no(), yes()]), |_| ()));
        assert!(!takes(LogFilter::All(vec![yes(), no()]), |_| ()));
        let share = Fraction { numerator: 0, denominator: 100 };
        assert!(!takes(LogFilter::Share { share, independent: true }, |_| ()));
    }

    #[test]
    fn a_grpc_status_may_be_that_of_http() {
        let filter =
            |statuses: &[u64], exclude| LogFilter::Grpc { statuses: statuses.to_vec(), exclude };
        assert!(takes(filter(&[14], false), |_| ()) && !takes(filter(&[14], true), |_| ()));
        assert!(takes(filter(&[2], false), |record| record.response_code = 0));
    }
}
