//! Route tables, compiled: which route takes a request.
//!
//! [`Tables`] keeps them by name. A connection manager looks each request up in the table
//! that is in force just then.

mod domains;
mod index;
mod matcher;
mod table;

pub(crate) use domains::without_port;
pub(crate) use matcher::{Matcher, query_parameter};
pub(crate) use table::{CompiledAction, CompiledForward, Route, Rule, Slot, Tables};
