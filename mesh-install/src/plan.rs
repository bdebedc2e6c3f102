//! What an installation would change, without changing it.

use futures_util::future::try_join_all;
use kube::Client;

use crate::ObjectName;
use crate::apply::{ApplyError, Change, would};
use crate::chart::Rendered;
use crate::order::{Step, of_step};

/// What would become of each object, in the order of the installation.
///
/// # Errors
/// When the API server would refuse one of them: no right to, or not a valid object.
pub async fn plan(
    client: &Client,
    objects: &[Rendered],
) -> Result<Vec<(ObjectName, Change)>, ApplyError> {
    let steps = [Step::Ground, Step::Pilot, Step::Gateway, Step::Webhook];
    let ordered = steps.iter().flat_map(|step| of_step(objects, *step));
    let one = async |object| Ok((ObjectName::of(object), would(client, object).await?));
    try_join_all(ordered.map(one)).await
}
