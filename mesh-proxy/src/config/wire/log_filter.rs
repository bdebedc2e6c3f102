//! `AccessLogFilter`.

use mesh_proto::envoy::config::accesslog::v3 as proto;
use proto::access_log_filter::FilterSpecifier;

use super::common::{enumeration, not_honoured, required};
use super::fraction::fraction;
use super::route_match::header_match;
use crate::config::{Compare, Error, Fraction, LogFilter, Path};

/// The response flags that Envoy knows.
const FLAGS: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC",
    "URX", "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
    "UDO",
];

/// Envoy's `AccessLogFilter`.
pub(super) fn log_filter(path: &Path, wire: proto::AccessLogFilter) -> Result<LogFilter, Error> {
    let refused = |field| Err(not_honoured(&path.field(field)));
    Ok(match wire.filter_specifier {
        Some(FilterSpecifier::StatusCodeFilter(wire)) => {
            let path = path.field("status_code_filter");
            let (compare, than) = comparison(&path, wire.comparison)?;
            LogFilter::Status(compare, than)
        }
        Some(FilterSpecifier::DurationFilter(wire)) => {
            let (compare, than) = comparison(&path.field("duration_filter"), wire.comparison)?;
            LogFilter::Duration(compare, than)
        }
        Some(FilterSpecifier::NotHealthCheckFilter(proto::NotHealthCheckFilter {})) => {
            LogFilter::NotHealthCheck
        }
        Some(FilterSpecifier::RuntimeFilter(wire)) => share(&path.field("runtime_filter"), wire)?,
        Some(FilterSpecifier::AndFilter(proto::AndFilter { filters })) => {
            LogFilter::All(list(&path.field("and_filter"), filters)?)
        }
        Some(FilterSpecifier::OrFilter(proto::OrFilter { filters })) => {
            LogFilter::Any(list(&path.field("or_filter"), filters)?)
        }
        Some(FilterSpecifier::HeaderFilter(proto::HeaderFilter { header })) => {
            let path = path.field("header_filter");
            let header = required(&path, "header", header)?;
            LogFilter::Header(header_match(header, &path.field("header"))?)
        }
        Some(FilterSpecifier::ResponseFlagFilter(proto::ResponseFlagFilter { flags })) => {
            LogFilter::Flags(known(&path.field("response_flag_filter").field("flags"), flags)?)
        }
        Some(FilterSpecifier::GrpcStatusFilter(wire)) => {
            grpc(&path.field("grpc_status_filter"), wire)?
        }
        Some(FilterSpecifier::TraceableFilter(_)) => return refused("traceable_filter"),
        Some(FilterSpecifier::ExtensionFilter(_)) => return refused("extension_filter"),
        Some(FilterSpecifier::MetadataFilter(_)) => return refused("metadata_filter"),
        Some(FilterSpecifier::LogTypeFilter(_)) => return refused("log_type_filter"),
        None => return Err(path.error("missing: expected one filter")),
    })
}

/// Without a runtime the default of the value is what it is compared with.
fn comparison(path: &Path, wire: Option<proto::ComparisonFilter>) -> Result<(Compare, u64), Error> {
    use proto::comparison_filter::Op;
    let proto::ComparisonFilter { op, value } = required(path, "comparison", wire)?;
    let path = path.field("comparison");
    let compare = match enumeration(&path, "op", op)? {
        Op::Eq => Compare::Equal,
        Op::Ge => Compare::GreaterOrEqual,
        Op::Le => Compare::LessOrEqual,
        Op::Ne => Compare::NotEqual,
    };
    let value = required(&path, "value", value)?;
    Ok((compare, value.default_value.into()))
}

fn share(path: &Path, wire: proto::RuntimeFilter) -> Result<LogFilter, Error> {
    let proto::RuntimeFilter { runtime_key: _, percent_sampled, use_independent_randomness } = wire;
    let share = match percent_sampled {
        Some(wire) => fraction(wire, &path.field("percent_sampled"))?,
        None => Fraction { numerator: 0, denominator: 100 },
    };
    Ok(LogFilter::Share { share, independent: use_independent_randomness })
}

fn list(path: &Path, filters: Vec<proto::AccessLogFilter>) -> Result<Vec<LogFilter>, Error> {
    let path = path.field("filters");
    if filters.len() < 2 {
        return Err(path.error(format!("found {}, expected at least two", filters.len())));
    }
    let filters = filters.into_iter().enumerate();
    filters.map(|(index, filter)| log_filter(&path.index(index), filter)).collect()
}

fn known(path: &Path, flags: Vec<String>) -> Result<Vec<String>, Error> {
    match flags.iter().position(|flag| !FLAGS.contains(&flag.as_str())) {
        Some(index) => Err(path.index(index).error(format!(
            "found {:?}, expected one of {}",
            flags[index],
            FLAGS.join(", ")
        ))),
        None => Ok(flags),
    }
}

fn grpc(path: &Path, wire: proto::GrpcStatusFilter) -> Result<LogFilter, Error> {
    use proto::grpc_status_filter::Status;
    let proto::GrpcStatusFilter { statuses, exclude } = wire;
    let path = path.field("statuses");
    let statuses = statuses.into_iter().enumerate().map(|(index, status)| {
        let status: Status = enumeration(&path, &format!("[{index}]"), status)?;
        Ok(status as u64)
    });
    Ok(LogFilter::Grpc { statuses: statuses.collect::<Result<_, _>>()?, exclude })
}
