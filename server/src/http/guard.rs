//! Who may ask: the same people as at the Redis port, and no web page of somebody else's.

use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::problem::problem;
use super::{App, Caller};
use crate::config::MAX_VALUE_BYTES;

/// How long a request may take to come in and be carried out; what waits longer on purpose is asked for again.
const REQUEST_TIME: Duration = Duration::from_secs(120);

pub(super) async fn check(
    State(app): State<App>,
    Extension(Caller(from)): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if app.node.is_closed_to(from.ip()) {
        return problem(
            StatusCode::FORBIDDEN,
            "DENIED",
            "this node asks for no password and so takes connections of its own machine only: start it with --requirepass, or with --unprotected",
        )
        .into_response();
    }
    if is_of_another_site(request.headers()) {
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
        problem(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "the request took more than two minutes").into_response()
    });
    // Values are whatever somebody has written: they are never taken for a page.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Browsers say which page a request comes from, whether that page may read the answer or not.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    origin.is_some_and(|origin| Some(origin) != text(header::HOST))
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
