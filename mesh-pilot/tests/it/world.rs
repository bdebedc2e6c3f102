//! What is in the watched folder.

/// A service with one HTTP port, 9080, and pods labelled `app: NAME`.
pub fn service(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  clusterIP: {address}
  selector: {{app: {name}}}
  ports: [{{name: http, port: 9080}}]
"
    )
}

/// A running pod.
pub fn pod(app: &str, version: &str, address: &str, ready: bool) -> String {
    let ready = if ready { "True" } else { "False" };
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {app}-{version}
  namespace: default
  labels: {{app: {app}, version: {version}}}
spec:
  containers: [{{name: {app}, image: {app}, ports: [{{containerPort: 9080}}]}}]
status:
  phase: Running
  podIP: {address}
  conditions: [{{type: Ready, status: \"{ready}\"}}]
"
    )
}

/// `reviews` with a ready pod of each of three versions, and `ratings` with one.
pub fn reviews() -> String {
    [
        service("reviews", "10.96.0.1"),
        pod("reviews", "v1", "10.244.0.11", true),
        pod("reviews", "v2", "10.244.0.12", true),
        pod("reviews", "v3", "10.244.0.13", true),
        service("ratings", "10.96.0.2"),
        pod("ratings", "v1", "10.244.0.21", true),
    ]
    .join("---\n")
}

/// The three versions as subsets.
pub const REVIEWS_SUBSETS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
    - {name: v3, labels: {version: v3}}
";

/// A route of `reviews` over its subsets.
pub fn reviews_split(weights: &[(&str, u32)]) -> String {
    let mut text = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - route:
"
    .to_owned();
    for (subset, weight) in weights {
        text += &format!(
            "        - {{destination: {{host: reviews, subset: {subset}}}, weight: {weight}}}\n"
        );
    }
    text
}
