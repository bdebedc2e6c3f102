//! `RuntimeFractionalPercent` and `FractionalPercent`.

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::r#type::v3 as proto;
use proto::fractional_percent::DenominatorType;

use super::common::{enumeration, required};
use crate::config::{Error, Fraction, Path};

/// A share that the runtime may change: no runtime is honoured that has a key of ours, so
/// that it is the default always.
pub(super) fn runtime_fraction(
    wire: core::RuntimeFractionalPercent,
    path: &Path,
) -> Result<Fraction, Error> {
    let core::RuntimeFractionalPercent { default_value, runtime_key: _ } = wire;
    let default = required(path, "default_value", default_value)?;
    fraction(default, &path.field("default_value"))
}

/// Envoy's `FractionalPercent`.
pub(super) fn fraction(wire: proto::FractionalPercent, path: &Path) -> Result<Fraction, Error> {
    let proto::FractionalPercent { numerator, denominator } = wire;
    let denominator = match enumeration(path, "denominator", denominator)? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    Ok(Fraction { numerator, denominator })
}
