//! `Route`, its redirect and its direct response.

use bytes::Bytes;
use http::StatusCode;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::route::v3 as proto;
use proto::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};

use super::common::{enumeration, not_honoured, port, refuse_set, required};
use super::header::{request_changes, response_changes};
use super::http_filter::filter_overrides;
use super::route_action::forward;
use super::route_match::{route_match, substitution};
use crate::config::{
    Action, Error, Mirror, Name, Path, Redirect, RedirectPath, RetryPolicy, Rewrite, Route,
};

/// What a route takes from its virtual host and its table.
pub(super) struct Inherited {
    pub(super) retry: Option<RetryPolicy>,
    pub(super) mirrors: Vec<Mirror>,
    /// How many bytes a direct response may have.
    pub(super) direct_limit: usize,
    pub(super) body_limit: BodyLimit,
}

/// How much of a request's body is kept, as a route or its virtual host says it.
#[derive(Clone, Copy)]
pub(super) struct BodyLimit {
    /// `request_body_buffer_limit`
    pub(super) newer: Option<u64>,
    /// `per_request_buffer_limit_bytes`: Envoy takes it for the same.
    pub(super) older: Option<u32>,
}

impl BodyLimit {
    /// Envoy: the newer field of the virtual host comes before the older one of the route.
    fn or(self, of_host: Self) -> Option<u64> {
        let older = self.older.or(of_host.older).map(u64::from);
        self.newer.or(of_host.newer).or(older)
    }
}

/// Envoy's `Route`.
pub(super) fn route(
    route: proto::Route,
    path: &Path,
    inherited: &Inherited,
) -> Result<Route, Error> {
    use proto::route::Action as Wire;
    let proto::Route {
        name,
        r#match: matcher,
        metadata,
        decorator,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        per_request_buffer_limit_bytes,
        stat_prefix,
        request_body_buffer_limit,
        route_specifiers,
        action,
    } = route;
    refuse_set!(path, Route, metadata, decorator, tracing, stat_prefix, route_specifiers,);
    let matcher = route_match(required(path, "match", matcher)?, &path.field("match"))?;
    let action = match action {
        Some(Wire::Route(action)) => {
            let mut forward = forward(action, &path.field("route"), inherited)?;
            let own = BodyLimit {
                newer: request_body_buffer_limit,
                older: per_request_buffer_limit_bytes,
            };
            forward.body_limit = own.or(inherited.body_limit);
            Action::Forward(Box::new(forward))
        }
        Some(Wire::Redirect(action)) => {
            Action::Redirect(redirect(action, &path.field("redirect"))?)
        }
        Some(Wire::DirectResponse(action)) => {
            direct(action, &path.field("direct_response"), inherited.direct_limit)?
        }
        Some(Wire::FilterAction(_)) => return Err(not_honoured(&path.field("filter_action"))),
        Some(Wire::NonForwardingAction(_)) => {
            return Err(not_honoured(&path.field("non_forwarding_action")));
        }
        None => return Err(path.error("missing: expected route, redirect or direct_response")),
    };
    Ok(Route {
        filters: filter_overrides(path, typed_per_filter_config)?,
        name: name.into(),
        matcher,
        action,
        request_headers: request_changes(path, request_headers_to_add, &request_headers_to_remove)?,
        response_headers: response_changes(
            path,
            response_headers_to_add,
            &response_headers_to_remove,
        )?,
    })
}

fn redirect(action: proto::RedirectAction, path: &Path) -> Result<Redirect, Error> {
    let proto::RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = action;
    let code = match enumeration(path, "response_code", response_code)? {
        RedirectResponseCode::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
        RedirectResponseCode::Found => StatusCode::FOUND,
        RedirectResponseCode::SeeOther => StatusCode::SEE_OTHER,
        RedirectResponseCode::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
        RedirectResponseCode::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
    };
    let path_rewrite = match path_rewrite_specifier {
        None => None,
        Some(PathRewriteSpecifier::PathRedirect(text)) => {
            filled(path, "path_redirect", text)?.map(RedirectPath::Literal)
        }
        Some(PathRewriteSpecifier::PrefixRewrite(text)) => {
            let text = filled(path, "prefix_rewrite", text)?;
            text.map(|text| RedirectPath::Rewrite(Rewrite::Prefix(text.to_string())))
        }
        Some(PathRewriteSpecifier::RegexRewrite(regex)) => {
            let rewrite = substitution(regex, &path.field("regex_rewrite"))?;
            Some(RedirectPath::Rewrite(Rewrite::Regex(rewrite)))
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => {
            return Err(not_honoured(&path.field("path_rewrite")));
        }
    };
    let scheme: Option<Name> = match scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => {
            filled(path, "scheme_redirect", scheme)?
        }
    };
    let port = match port_redirect {
        0 => None,
        value => Some(port(&path.field("port_redirect"), value)?),
    };
    Ok(Redirect {
        code,
        host: filled(path, "host_redirect", host_redirect)?,
        path: path_rewrite,
        scheme,
        port,
        strip_query,
    })
}

/// A part of a URL that goes into a header: `None` when empty.
fn filled(path: &Path, field: &str, text: String) -> Result<Option<Name>, Error> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(path.field(field).error(format!("found {text:?}, expected a part of a URL")));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

fn direct(action: proto::DirectResponseAction, path: &Path, limit: usize) -> Result<Action, Error> {
    let proto::DirectResponseAction { status, body, body_format } = action;
    refuse_set!(path, DirectResponseAction, body_format);
    let code = own_status(&path.field("status"), status)?;
    let path = path.field("body");
    let body = body.map_or(Ok(Bytes::new()), |body| inline(body, &path))?;
    if body.len() > limit {
        return Err(path.error(format!(
            "has {} bytes, expected at most {limit} (max_direct_response_body_size_bytes)",
            body.len()
        )));
    }
    Ok(Action::Direct(code, body))
}

/// The status of an answer of the proxy's own.
pub(super) fn own_status(path: &Path, status: u32) -> Result<StatusCode, Error> {
    let code = u16::try_from(status).ok().filter(|code| (200..600).contains(code));
    let code = code.and_then(|code| StatusCode::from_u16(code).ok());
    code.ok_or_else(|| path.error(format!("found {status}, expected 200 to 599")))
}

/// A `DataSource` that holds the data itself.
pub(super) fn inline(source: core::DataSource, path: &Path) -> Result<Bytes, Error> {
    use core::data_source::Specifier;
    let core::DataSource { watched_directory, specifier } = source;
    refuse_set!(path, DataSource, watched_directory);
    match specifier {
        Some(Specifier::InlineString(text)) => Ok(text.into()),
        Some(Specifier::InlineBytes(bytes)) => Ok(bytes.into()),
        Some(Specifier::Filename(_)) => Err(not_honoured(&path.field("filename"))),
        Some(Specifier::EnvironmentVariable(_)) => {
            Err(not_honoured(&path.field("environment_variable")))
        }
        None => Err(path.error("missing: expected inline_string or inline_bytes")),
    }
}
