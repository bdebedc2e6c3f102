//! A file of rules, as `meshctl apply` and a pilot read it. What was read as YAML is written, and
//! read again as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    for document in mesh_yaml::documents(text).unwrap_or_default() {
        if let Ok(written) = mesh_yaml::write(&document.value) {
            let again = mesh_yaml::read::<serde_json::Value>(&written);
            assert_eq!(again.ok().as_ref(), Some(&document.value), "{written}");
        }
    }
    if let Ok(rules) = mesh_rules::parse("x.yaml", text, mesh_rules::Surroundings::default()) {
        mesh_rules::check(&rules.iter().collect::<Vec<_>>(), &[]);
    }
});
