//! Messages inside `google.protobuf.Any`.

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// Packs a message with its type URL, `type.googleapis.com/` and the full name.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Unpacks `any` when it holds an `M`; `None` when it holds another type.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Option<Result<M, DecodeError>> {
    is::<M>(any).then(|| M::decode(any.value.as_slice()))
}

/// Whether `any` holds an `M`. Only what follows the last slash counts, as in Envoy.
pub fn is<M: Name>(any: &Any) -> bool {
    type_name(&any.type_url) == M::full_name()
}

/// The full message name in a type URL.
pub fn type_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}
