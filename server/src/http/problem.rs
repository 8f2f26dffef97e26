//! What went wrong, as HTTP says it: a status, and JSON with the error's code and a sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that says why not.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    message: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.code, "message": self.message }))).into_response()
    }
}

pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Problem {
    Problem { status, code: code.to_owned(), message: message.to_owned() }
}

/// The client has asked for something that is none.
pub(super) fn bad_request(message: &str) -> Problem {
    problem(StatusCode::BAD_REQUEST, "ERR", message)
}

/// A command's error.
pub(super) fn refused(text: &str) -> Problem {
    let (code, message) = text.split_once(' ').unwrap_or((text, ""));
    let status = match code {
        "NOPERM" => StatusCode::FORBIDDEN,
        "WRONGTYPE" => StatusCode::CONFLICT,
        "NOQUORUM" | "TRYAGAIN" | "BUSY" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    problem(status, code, message)
}

pub(super) async fn nothing_here() -> Problem {
    problem(StatusCode::NOT_FOUND, "ERR", "there is nothing here: /openapi.json says what there is")
}

pub(super) async fn other_method() -> Problem {
    problem(StatusCode::METHOD_NOT_ALLOWED, "ERR", "not by this method: /openapi.json says by which")
}
