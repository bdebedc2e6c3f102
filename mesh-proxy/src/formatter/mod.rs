//! Envoy's command operators: what becomes known of a request, as text. Access logs and
//! changes of headers share it.

mod flags;
mod record;
mod time;
mod value;

pub(crate) use flags::Flags;
pub(crate) use record::{LogType, Record, Request};
pub(crate) use value::{Wrote, text, value};
