//! `v1=50 v3=50`.

use super::RouteError;

/// A version and its percentage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The value of the pods' label `version`.
    pub version: String,
    /// 0 to 100.
    pub percent: u32,
}

/// Reads the arguments of `route set`: `VERSION=PERCENT`, adding up to 100; or one version
/// alone, which then gets everything.
pub fn parse_weights<S: AsRef<str>>(arguments: &[S]) -> Result<Vec<Weight>, RouteError> {
    if arguments.is_empty() {
        return Err(error("no version is named; write like v1=50 v3=50"));
    }
    let mut weights: Vec<Weight> = Vec::with_capacity(arguments.len());
    for argument in arguments.iter().map(AsRef::as_ref) {
        let weight = match argument.split_once('=') {
            None if arguments.len() == 1 => Weight { version: argument.to_owned(), percent: 100 },
            None => {
                return Err(error(format!("\"{argument}\" has no weight; write {argument}=50")));
            }
            Some((version, text)) => {
                let text = text.strip_suffix('%').unwrap_or(text);
                let percent = text.parse().ok().filter(|percent| *percent <= 100);
                let percent = percent.ok_or_else(|| {
                    error(format!(
                        "\"{argument}\": the weight must be a whole number from 0 to 100"
                    ))
                })?;
                Weight { version: version.to_owned(), percent }
            }
        };
        if weight.version.is_empty() {
            return Err(error(format!("\"{argument}\" names no version; write like v1=50")));
        }
        if weights.iter().any(|earlier| earlier.version == weight.version) {
            return Err(error(format!("\"{}\" is named twice; keep one", weight.version)));
        }
        weights.push(weight);
    }
    let sum: u32 = weights.iter().map(|weight| weight.percent).sum();
    if sum != 100 {
        return Err(error(format!(
            "the weights add up to {sum}, but must add up to 100; {}",
            suggestion(&weights, sum)
        )));
    }
    Ok(weights)
}

/// The same proportions, adding up to 100.
fn suggestion(weights: &[Weight], sum: u32) -> String {
    if sum == 0 {
        return "write like v1=50 v3=50".to_owned();
    }
    let mut left = 100;
    let mut texts = Vec::with_capacity(weights.len());
    for (position, weight) in weights.iter().enumerate() {
        let last = position + 1 == weights.len();
        let percent = if last { left } else { weight.percent * 100 / sum };
        left -= percent;
        texts.push(format!("{}={percent}", weight.version));
    }
    format!("did you mean {}?", texts.join(" "))
}

fn error(message: impl Into<String>) -> RouteError {
    RouteError::Weights(message.into())
}
