//! What a test has counted and measured, in words.

/// In the order in which they are printed.
#[derive(Default)]
pub(super) struct Figures(Vec<String>);

impl Figures {
    /// Adds a figure.
    pub(super) fn and(mut self, what: impl Into<String>) -> Self {
        self.0.push(what.into());
        self
    }

    /// Adds a figure with its limit. One that is over it is marked, and fails nothing: on a
    /// machine that others use a time may be long for their sake.
    pub(super) fn within(self, name: &str, value: f64, limit: f64, unit: &str) -> Self {
        let mark = if value > limit { "OVER, " } else { "" };
        self.and(format!("{name} {value:.1} {unit} ({mark}at most {limit})"))
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_its_limit_is_marked() {
        let figures = Figures::default()
            .and("2000 requests")
            .within("p99", 149.96, 150.0, "ms")
            .within("install", 20.25, 20.0, "s");
        assert_eq!(
            figures.to_string(),
            "2000 requests; p99 150.0 ms (at most 150); install 20.2 s (OVER, at most 20)"
        );
    }
}
