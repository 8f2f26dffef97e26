//! Who may ask: the same people as at the Redis port, and no web page of somebody else's.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::App;
use super::problem::problem;
use crate::config::MAX_VALUE_BYTES;

/// How long a request may take to come in and be carried out; what waits longer on purpose is asked for again.
const REQUEST_TIME: Duration = Duration::from_secs(120);

pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_of_another_site(request.headers(), app.node.options.requirepass.is_some()) {
        return problem(StatusCode::FORBIDDEN, "DENIED", "pages of other sites may not ask here").into_response();
    }
    // Whether the process is there is no secret.
    if request.uri().path() != "/health" && !knows_password(&app, request.headers()) {
        let refused = problem(StatusCode::UNAUTHORIZED, "NOAUTH", "authentication required: user default");
        let mut refused = refused.into_response();
        let how = HeaderValue::from_static("Basic realm=\"dotted\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        return refused;
    }
    if announced_bytes(request.headers()).is_some_and(|bytes| bytes > MAX_VALUE_BYTES) {
        let why = format!("a request has at most {MAX_VALUE_BYTES} bytes");
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "ERR", &why).into_response();
    }
    let served = tokio::time::timeout(REQUEST_TIME, next.run(request)).await;
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

fn knows_password(app: &App, headers: &HeaderMap) -> bool {
    let given = || {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, secret) = text.split_once(' ')?;
        let decoded = STANDARD.decode(secret.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let at = decoded.iter().position(|byte| *byte == b':')?;
        Some((decoded[..at].to_vec(), decoded[at + 1..].to_vec()))
    };
    app.node.options.requirepass.is_none()
        || given().is_some_and(|(user, password)| app.node.is_allowed(&user, &password))
}
