//! Taking a resource out of a response.

use std::sync::Arc;

use mesh_proto::any;
use mesh_proto::envoy::service::discovery::v3::Resource;
use prost::{Message, Name};
use prost_types::Any;

/// Decodes a resource, which may stand in a `Resource` of its own; the error says what was
/// found.
pub(super) fn open<M: Message + Name + Default>(any: Any) -> Result<(Arc<Any>, M), String> {
    let any = match any::unpack::<Resource>(&any) {
        None => any,
        Some(Ok(Resource { resource: Some(inner), .. })) => inner,
        Some(Ok(_)) => return Err("found a Resource with nothing in it".to_owned()),
        Some(Err(error)) => return Err(format!("is not a valid Resource: {error}")),
    };
    match any::unpack::<M>(&any) {
        Some(Ok(message)) => Ok((Arc::new(any), message)),
        Some(Err(error)) => Err(format!("is not a valid {}: {error}", M::full_name())),
        None => {
            let found = any::type_name(&any.type_url);
            Err(format!("found a {found}, expected a {}", M::full_name()))
        }
    }
}
