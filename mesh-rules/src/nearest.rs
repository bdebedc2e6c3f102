//! "Did you mean …?"

/// The candidate that `word` is most likely a slip of; `None` when none is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "reviews"?`, or nothing.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates)
        .map_or_else(String::new, |candidate| format!("; did you mean \"{candidate}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_only() {
        let services = ["details", "productpage", "ratings", "reviews"];
        assert_eq!(nearest("reveiws", services), Some("reviews"));
        assert_eq!(nearest("review", services), Some("reviews"));
        assert_eq!(nearest("checkout", services), None);
        assert_eq!(nearest("", services), None);
    }
}
