//! Who may ask: the same people as at the Redis port, and no web page of somebody else's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::App;
use super::commands::USER;
use super::problem::problem;
use crate::acl::{Occasion, User};
use crate::config::MAX_VALUE_BYTES;

/// How long a request may take to come in and be carried out; what waits longer on purpose is asked for again.
const REQUEST_TIME: Duration = Duration::from_secs(120);

pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_of_another_site(request.headers(), !app.node.acl.is_open()) {
        return problem(StatusCode::FORBIDDEN, "DENIED", "pages of other sites may not ask here").into_response();
    }
    // Whether the process is there is no secret.
    let user = user_of(&app, request.headers());
    if request.uri().path() != "/health" && user.is_none() {
        let refused = problem(StatusCode::UNAUTHORIZED, "NOAUTH", "authentication required: a user and his password");
        let mut refused = refused.into_response();
        let how = HeaderValue::from_static("Basic realm=\"dotted\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        return refused;
    }
    if announced_bytes(request.headers()).is_some_and(|bytes| bytes > MAX_VALUE_BYTES) {
        let why = format!("a request has at most {MAX_VALUE_BYTES} bytes");
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "ERR", &why).into_response();
    }
    let user = user.unwrap_or_else(|| app.node.acl.default_user());
    let served = USER.scope(user, tokio::time::timeout(REQUEST_TIME, next.run(request))).await;
    let mut response = served.unwrap_or_else(|_| {
        problem(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", "the request took more than two minutes").into_response()
    });
    // Values are whatever somebody has written: they are never taken for a page.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Browsers say which page a request comes from, whether that page may read the answer or not. A name that somebody else's
/// server has been given for this machine makes a page of theirs look like one of ours: without a password, only addresses and
/// `localhost` are names of this node.
fn is_of_another_site(headers: &HeaderMap, asks_for_password: bool) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_ours = asks_for_password || is_address || name.eq_ignore_ascii_case("localhost") || name.is_empty();
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    let from = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let is_linked = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    let is_foreign = matches!(from, Some("cross-site" | "same-site")) && !is_linked;
    !is_ours || is_foreign || origin.is_some_and(|origin| origin != host)
}

/// Who asks: whoever the request says, if it knows his password; where it says nothing, the user `default`, if he needs none.
fn user_of(app: &App, headers: &HeaderMap) -> Option<Arc<User>> {
    let acl = &app.node.acl;
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return acl.is_open().then(|| acl.default_user());
    };
    let (scheme, secret) = given.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(secret.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let at = decoded.iter().position(|byte| *byte == b':')?;
    let (name, password) = (&decoded[..at], &decoded[at + 1..]);
    let user = acl.authenticate(name, password);
    if user.is_none() {
        let (limit, who) = (app.node.config.acl_log_entries.get(), String::from_utf8_lossy(name));
        acl.log.note("auth", Occasion::TopLevel, "HTTP", &who, String::new(), limit);
    }
    user
}
