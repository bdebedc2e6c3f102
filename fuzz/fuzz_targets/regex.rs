//! An expression, and behind a line break a text. What matches the whole of a text matches a
//! part of it, whatever brackets the expression has.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (expression, text) = text.split_once('\n').unwrap_or((text, "/a/b-1"));
    let (whole, part) = (mesh_regex::whole(expression), mesh_regex::part(expression));
    let Ok(whole) = whole else { return };
    let Ok(part) = part else { panic!("a whole text, but no part") };
    if whole.is_match(text.as_bytes()) {
        assert!(part.is_match(text.as_bytes()), "a whole text is no part of itself");
        let all = whole.find(text.as_bytes()).map(|found| found.range());
        assert_eq!(all, Some(0..text.len()), "a part is taken for the whole");
    }
});
