use super::*;
use crate::envoy::config::bootstrap::v3::Bootstrap;
use crate::envoy::config::cluster::v3::Cluster;
use crate::envoy::config::listener::v3::Listener;

const LISTENER: &str = r#"
name: front
address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: ingress
      idleTimeout: 0.25s
      cluster: upstream
"#;

fn message<M: Message + Name + Default + std::fmt::Debug>(text: &str) -> String {
    from_yaml::<M>(text).unwrap_err().to_string()
}

#[test]
fn an_any_is_read_with_its_type_and_written_back() {
    let listener: Listener = from_yaml(LISTENER).unwrap();
    let json = to_json(&listener).unwrap();
    let filter = &json["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(filter["cluster"], "upstream");
    assert_eq!(filter["idle_timeout"], "0.250s");
    assert_eq!(from_yaml::<Listener>(&to_yaml(&listener).unwrap()).unwrap(), listener);
}

#[test]
fn an_unknown_field_inside_an_any_is_named_with_its_path() {
    let text = LISTENER.replace("stat_prefix", "stat_prefx");
    assert_eq!(
        message::<Listener>(&text),
        "filter_chains[0].filters[0].typed_config.stat_prefx: \
         unknown field \"stat_prefx\", did you mean \"stat_prefix\"?"
    );
}

#[test]
fn an_unknown_extension_is_named() {
    let text = LISTENER.replace("tcp_proxy.v3", "tcp_prxy.v3");
    assert_eq!(
        message::<Listener>(&text),
        "filter_chains[0].filters[0].typed_config.@type: unknown type \
         \"type.googleapis.com/envoy.extensions.filters.network.tcp_prxy.v3.TcpProxy\", \
         did you mean \"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\"?"
    );
    let text = LISTENER.replace("tcp_proxy.v3.TcpProxy", "redis_proxy.v3.RedisProxy");
    assert!(message::<Listener>(&text).ends_with("redis_proxy.v3.RedisProxy\""));
}

#[test]
fn wrong_types_say_what_was_found_and_expected() {
    let cases = [
        ("name: 8080", "name: found 8080, expected a text (put it in quotes)"),
        (
            "connect_timeout: 5",
            "connect_timeout: found 5, expected a duration in seconds such as \"0.25s\"",
        ),
        (
            "lb_policy: ROUND_ROBBIN",
            "lb_policy: found \"ROUND_ROBBIN\", did you mean \"ROUND_ROBIN\"?",
        ),
        (
            "max_requests_per_connection: -1",
            "max_requests_per_connection: found -1, expected a whole number from 0 to 4294967295",
        ),
        ("[]", "(the whole message): found a list, expected an object"),
        (
            "{type: EDS, cluster_type: {name: x}}",
            "cluster_type: only one of \"type\" and \"cluster_type\" may be set",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(message::<Cluster>(text), expected);
    }
}

#[test]
fn syntax_errors_have_a_position() {
    let text = message::<Bootstrap>("node:\n  id: [a\nadmin: {}");
    assert!(text.contains("line"), "{text}");
}

#[test]
fn null_leaves_the_default() {
    let cluster: Cluster = from_yaml("{name: a, connect_timeout: null}").unwrap();
    assert_eq!(cluster.connect_timeout, None);
}

#[test]
fn only_true_and_false_are_booleans() {
    assert_eq!(from_yaml::<Cluster>("name: on").unwrap().name, "on");
}

#[test]
fn a_literal_block_and_json_are_read_too() {
    let json = r#"{"name": "a", "connectTimeout": "5s"}"#;
    assert_eq!(from_yaml::<Cluster>(json).unwrap().connect_timeout.unwrap().seconds, 5);
}
