#![allow(dead_code, unused_imports, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod agent;
mod netns;

pub(crate) use agent::{Agent, becomes, running, script};
pub(crate) use netns::{Namespace, ip, possible, run};
