//! The figures: medians, and ratios to Envoy.

use serde_json::{Value, json};

use crate::bench::report::{REFERENCE, median};

/// One figure of one contender in one round.
pub(super) struct Figure {
    /// The part of the table.
    pub(super) part: &'static str,
    /// What was measured, with its unit.
    pub(super) what: &'static str,
    pub(super) contender: &'static str,
    pub(super) value: f64,
}

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Figures(Vec<Figure>);

struct Row<'a> {
    part: &'a str,
    what: &'a str,
    /// By contender, in the table's order.
    medians: Vec<Option<f64>>,
    ratio: Option<f64>,
}

impl Figures {
    pub(super) fn add(
        &mut self,
        part: &'static str,
        what: &'static str,
        contender: &'static str,
        value: f64,
    ) {
        self.0.push(Figure { part, what, contender, value });
    }

    fn rows<'a>(&'a self, contenders: &[&str]) -> Vec<Row<'a>> {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for figure in &self.0 {
            let is_same = |row: &Row<'_>| (row.part, row.what) == (figure.part, figure.what);
            if rows.iter().any(is_same) {
                continue;
            }
            let of = |contender: &str| self.median(figure.part, figure.what, contender);
            let ratio = of(MESH).zip(of(REFERENCE)).map(|(mesh, reference)| mesh / reference);
            let medians = contenders.iter().map(|contender| of(contender)).collect();
            rows.push(Row { part: figure.part, what: figure.what, medians, ratio });
        }
        // Of several rounds; the order within a part is that of the first one.
        let parts: Vec<&str> = rows.iter().map(|row| row.part).collect();
        rows.sort_by_key(|row| parts.iter().position(|part| *part == row.part));
        rows
    }

    fn median(&self, part: &str, what: &str, contender: &str) -> Option<f64> {
        let same = self.0.iter().filter(|figure| {
            (figure.part, figure.what, figure.contender) == (part, what, contender)
        });
        median(same.map(|figure| figure.value).collect())
    }

    /// Lines for a terminal.
    pub(super) fn table(&self, rounds: u32) -> String {
        let contenders = [DIRECT, REFERENCE, MESH];
        let mut text = String::new();
        let mut last = "";
        for row in self.rows(&contenders) {
            if row.part != last {
                last = row.part;
                text += &format!("\n{:28}", row.part);
                contenders.iter().for_each(|name| text += &format!(" {name:>11}"));
                text += &format!(" {:>9}\n", "to envoy");
            }
            text += &format!("{:28}", row.what);
            for value in &row.medians {
                text += &format!(" {:>11}", value.map_or("-".to_owned(), short));
            }
            text += &format!(" {:>9}\n", row.ratio.map_or("-".to_owned(), |it| format!("{it:.2}")));
        }
        text + &format!("\nMedians of {rounds}, ratios of this run. CPU is that of both proxies.\n")
    }

    /// The same for programs.
    pub(super) fn json(&self, rounds: u32) -> Value {
        let contenders = [DIRECT, REFERENCE, MESH];
        let one = |row: Row<'_>| {
            let values = contenders.iter().zip(row.medians);
            let values: serde_json::Map<String, Value> =
                values.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!({"part": row.part, "what": row.what, "medians": values, "to_envoy": row.ratio})
        };
        let rows: Vec<Value> = self.rows(&contenders).into_iter().map(one).collect();
        json!({"rounds": rounds, "figures": rows})
    }
}

/// Past the sidecars.
pub(super) const DIRECT: &str = "no mesh";
pub(super) const MESH: &str = "mesh-proxy";

fn short(value: f64) -> String {
    let digits = if value.abs() < 10.0 {
        3
    } else if value.abs() < 1000.0 {
        1
    } else {
        0
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_their_ratio() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add("HTTP", "CPU", MESH, value);
            figures.add("HTTP", "CPU", REFERENCE, 2.0 * value);
            figures.add("other", "CPU", MESH, 9.0);
        }
        let json = figures.json(3);
        assert_eq!(json["figures"].as_array().unwrap().len(), 2);
        assert_eq!(json["figures"][0]["medians"]["mesh-proxy"], 2.0);
        assert_eq!(json["figures"][0]["to_envoy"], 0.5);
        assert!(json["figures"][1]["to_envoy"].is_null());
        assert!(figures.table(3).contains("0.50"));
    }
}
