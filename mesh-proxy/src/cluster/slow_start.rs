//! Slow start: endpoints that have just become healthy get less, and more with time.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::Cluster;

/// In how many steps an endpoint comes to its whole weight.
const STEPS: u32 = 50;
/// Steps are not shorter.
const SHORTEST: Duration = Duration::from_millis(50);

/// Weighs the endpoints anew for as long as one of them is within its window.
pub(super) async fn follow(cluster: Weak<Cluster>, window: Duration) {
    let step = (window / STEPS).max(SHORTEST);
    let mut was_any = false;
    loop {
        tokio::time::sleep(step).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let now = Instant::now();
        let members = cluster.members.load();
        let is_new = |since| now.duration_since(since) < window;
        let mut since = members.all.iter().filter_map(|member| member.endpoint.standing.since());
        let is_any = since.any(is_new);
        if is_any || was_any {
            cluster.refresh();
        }
        was_any = is_any;
    }
}
