use super::*;
use crate::{Surroundings, parse};

fn reviews() -> KnownService {
    KnownService {
        name: "reviews".into(),
        namespace: "default".into(),
        hostname: "reviews.default.svc.cluster.local".into(),
        versions: vec!["v1".into(), "v2".into(), "v3".into()],
        aliases: Vec::new(),
    }
}

fn existing(text: &str) -> Vec<ExistingRule> {
    let rules = parse("test", text, Surroundings::default()).unwrap();
    rules.into_iter().map(|rule| ExistingRule { key: rule.key, yaml: rule.yaml }).collect()
}

/// What exists after the plan.
fn carried_out(plan: Plan, mut rules: Vec<ExistingRule>) -> Vec<ExistingRule> {
    rules.retain(|rule| !plan.delete.contains(&rule.key));
    rules.retain(|rule| !plan.apply.iter().any(|new| new.key == rule.key));
    rules.extend(plan.apply);
    rules
}

fn rows(rules: &[ExistingRule]) -> Vec<(String, String)> {
    let text = rules.iter().map(|rule| rule.yaml.as_str()).collect::<Vec<_>>().join("---\n");
    let rules = parse("test", &text, Surroundings::default()).unwrap();
    get(&rules).into_iter().map(|row| (row.matches, row.destinations)).collect()
}

const USERS: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mine, labels: {team: books}}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: two}}]
  - timeout: 3s
    route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: mine}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: two, labels: {version: v2}}
";

#[test]
fn makes_both_resources_where_there_are_none_and_removes_them_again() {
    let weights = parse_weights(&["v1=50", "v3=50"]).unwrap();
    let made = carried_out(set(&reviews(), &[], &weights).unwrap(), Vec::new());
    assert_eq!(made.len(), 2);
    assert_eq!(rows(&made), [("*".into(), "v1 50%, v3 50%".into())]);
    assert!(made.iter().all(|rule| rule.yaml.contains(MANAGED_BY)));

    let again =
        carried_out(set(&reviews(), &made, &parse_weights(&["v2"]).unwrap()).unwrap(), made);
    assert_eq!(rows(&again), [("*".into(), "v2 100%".into())]);

    let plan = delete(&reviews(), &again).unwrap();
    assert_eq!(plan.delete[0].kind, "VirtualService", "what uses the subsets goes first");
    assert!(carried_out(plan, again).is_empty());
}

#[test]
fn versions_that_yaml_could_take_for_something_else_stay_texts() {
    for version in ["1", "1e3", "0x1F", "1_000", "true", "n", "Yes", "on", "null", "2026-01-01"] {
        let service = KnownService { versions: vec![version.into()], ..reviews() };
        let weights = parse_weights(&[version]).unwrap();
        let made = carried_out(set(&service, &[], &weights).unwrap(), Vec::new());
        assert_eq!(rows(&made), [("*".into(), format!("{version} 100%"))]);
    }
}

#[test]
fn changes_only_the_default_route_of_a_users_rule_and_puts_it_back() {
    let before = existing(USERS);
    let weights = parse_weights(&["v2=25", "v3=75"]).unwrap();
    let plan = set(&reviews(), &before, &weights).unwrap();
    let after = carried_out(plan, before.clone());
    assert_eq!(
        rows(&after),
        [
            ("header end-user = jason".into(), "two 100%".into()),
            ("*".into(), "two 25%, v3 75%".into()),
        ]
    );
    let yaml = &after.iter().find(|rule| rule.key.kind == "VirtualService").unwrap().yaml;
    assert!(yaml.contains("timeout: 3s") && yaml.contains("team: books"), "{yaml}");

    let twice = set(&reviews(), &after, &parse_weights(&["v3"]).unwrap()).unwrap();
    let twice = carried_out(twice, after);
    let restored = carried_out(delete(&reviews(), &twice).unwrap(), twice);
    assert_eq!(rows(&restored), rows(&before));
    let error = delete(&reviews(), &restored).unwrap_err().to_string();
    assert!(error.contains("VirtualService default/mine: you wrote it yourself"), "{error}");
}

#[test]
fn refuses_what_makes_no_sense_and_says_what_to_type() {
    for (arguments, expected) in [
        (vec![], "no version is named"),
        (vec!["v1=50", "v3=30"], "did you mean v1=62 v3=38?"),
        (vec!["v1=50", "v1=50"], "named twice"),
        (vec!["v1=101"], "from 0 to 100"),
        (vec!["v1=-1", "v2=101"], "from 0 to 100"),
        (vec!["v1", "v2=100"], "write v1=50"),
        (vec!["=100"], "names no version"),
        (vec!["v1=0", "v2=0"], "must add up to 100"),
    ] {
        let error = parse_weights(&arguments).unwrap_err().to_string();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let weights = parse_weights(&["v4"]).unwrap();
    let error = set(&reviews(), &[], &weights).unwrap_err().to_string();
    assert!(error.contains("reviews has no version \"v4\""), "{error}");
    assert!(error.contains("v1, v2, v3"), "{error}");

    let services = [reviews()];
    assert!(find_service("reviews.default", "shop", &services).is_ok());
    let error = find_service("reviewz", "default", &services).unwrap_err().to_string();
    assert!(error.contains("did you mean \"reviews\"?"), "{error}");
    let aliases = vec!["stars.default.svc.cluster.local".to_owned()];
    let services = [KnownService { aliases, ..reviews() }];
    for name in ["stars", "stars.default"] {
        let error = find_service(name, "default", &services).unwrap_err().to_string();
        assert!(error.contains("of reviews.default.svc.cluster.local, whose"), "{error}");
    }
    assert!(delete(&reviews(), &[]).is_err());
}

#[test]
fn subsets_that_another_rule_names_stay() {
    let made = set(&reviews(), &[], &parse_weights(&["v2"]).unwrap()).unwrap();
    let mut rules = carried_out(made, Vec::new());
    rules.extend(existing(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other}
spec:
  hosts: [productpage]
  http: [{route: [{destination: {host: reviews, subset: v2}}]}]
",
    ));
    let plan = delete(&reviews(), &rules).unwrap();
    let kinds: Vec<_> = plan.delete.iter().map(|key| key.kind.as_str()).collect();
    assert_eq!(kinds, ["VirtualService"], "the DestinationRule is still in use");

    let left = carried_out(plan, rules);
    let error = delete(&reviews(), &left).unwrap_err().to_string();
    assert!(error.contains("VirtualService default/other names its subsets"), "{error}");
}

/// A leftover of somebody's, with what we do not know.
fn unreadable(name: &str, host: &str) -> ExistingRule {
    let yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n\
         spec:\n  hosts: [{host}]\n  http:\n  - fault: {{abort: {{httpStatus: 500}}}}\n\
         \x20   route: [{{destination: {{host: reviews, subset: v2}}}}]\n"
    );
    let key =
        RuleKey { kind: "VirtualService".into(), namespace: "default".into(), name: name.into() };
    ExistingRule { key, yaml }
}

#[test]
fn a_rule_that_cannot_be_read_is_in_the_way_of_its_own_service_alone() {
    let weights = parse_weights(&["v2"]).unwrap();
    let theirs = [unreadable("theirs", "ratings"), unreadable("wrong", "{a: b}")];
    let made = carried_out(set(&reviews(), &theirs, &weights).unwrap(), theirs.to_vec());
    let plan = delete(&reviews(), &made).unwrap();
    let deleted: Vec<_> = plan.delete.iter().map(|key| key.kind.as_str()).collect();
    assert_eq!(deleted, ["VirtualService"], "theirs may lead to a subset");

    let error = set(&reviews(), &[unreadable("ours", "reviews")], &weights).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("VirtualService default/ours: "), "{error}");
    assert!(error.contains("spec.http[0].fault: ") && error.contains("not supported"), "{error}");
}
