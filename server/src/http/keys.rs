//! `/kv/<key>`: values, with what was seen of them in a header.
//!
//! | request | means |
//! |---|---|
//! | `GET` | the value; 300 and all of them, if there are siblings; 404 |
//! | `PUT`, `POST` | replaces what the coordinator sees, as `SET` does |
//! | the same with `X-Dotted-Context` | replaces exactly what that context has seen (`-`: nothing) |
//! | the same with `If-Match: "context"` | replaces it only if there is nothing else |
//! | the same with `If-None-Match: *` | writes only if there is nothing |
//! | `DELETE` | removes what the coordinator sees, or what the context has seen |

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::commands::{Words, words};
use super::json;
use super::problem::{Problem, bad_request, problem, refused};
use crate::resp::Reply;

/// Carries the context: of what was read, or of what was written.
const CONTEXT: HeaderName = HeaderName::from_static("x-dotted-context");
/// Says how many siblings there are now.
const SIBLINGS: HeaderName = HeaderName::from_static("x-dotted-siblings");

/// What a request chooses behind its `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choices {
    r: Option<u8>,
    w: Option<u8>,
    pr: Option<u8>,
    pw: Option<u8>,
    dw: Option<u8>,
    strict: Option<bool>,
    timeout_ms: Option<u32>,
    field: Option<String>,
    ttl_ms: Option<u64>,
}

impl Choices {
    /// The command with these quorums.
    pub(super) fn around(&self, command: Words) -> Words {
        let number = |name, n: Option<u32>| n.map(|n| [String::from(name), n.to_string()]);
        let numbers = [
            number("R", self.r.map(u32::from)),
            number("W", self.w.map(u32::from)),
            number("PR", self.pr.map(u32::from)),
            number("PW", self.pw.map(u32::from)),
            number("DW", self.dw.map(u32::from)),
            number("TIMEOUT", self.timeout_ms),
        ];
        let kind = self.strict.map(|strict| if strict { "STRICT" } else { "SLOPPY" }.to_owned());
        let chosen: Vec<String> = numbers.into_iter().flatten().flatten().chain(kind).collect();
        if chosen.is_empty() {
            return command;
        }
        words(["DOT.WITH".to_owned()].into_iter().chain(chosen)).into_iter().chain(command).collect()
    }

    /// Does a request for values choose what only another one can?
    fn without_expiry(&self) -> Result<(), Problem> {
        self.ttl_ms.map_or(Ok(()), |_| Err(bad_request("ttl_ms goes with PUT and POST without a context or a field")))
    }

    /// Does a request that takes no more choose more than quorums?
    pub(super) fn only_quorums(&self) -> Result<(), Problem> {
        self.field.as_ref().map_or(Ok(()), |_| Err(bad_request("field goes with /kv/<key>")))?;
        self.without_expiry()
    }

    fn in_field(&self, command: Words) -> Words {
        let field = self.field.iter().flat_map(|field| ["FIELD", field.as_str()]);
        self.around(command.into_iter().chain(words(field)).collect())
    }
}

/// The key in a path, whatever bytes it has.
pub(super) fn key_in(uri: &Uri, below: &str) -> Vec<u8> {
    percent_decode_str(uri.path().strip_prefix(below).unwrap_or_default()).collect()
}

/// Query parameters that are none are said, in this project's words.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn chosen<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked.map(|Query(chosen)| chosen).map_err(|why| bad_request(&why.body_text()))
}

/// Context and siblings, as DOT.GET and DOT.SET give them.
fn siblings_of(reply: Reply) -> Result<(Option<String>, Vec<Reply>), Problem> {
    match reply {
        Reply::Error(why) => Err(refused(&why)),
        Reply::Map(pairs) => {
            let mut parts = pairs.into_iter().map(|(_, part)| part);
            let context = match parts.next() {
                Some(Reply::Bulk(context)) => Some(String::from_utf8_lossy(&context).into_owned()),
                Some(Reply::Error(why)) => return Err(refused(&why)),
                _ => None,
            };
            match parts.next() {
                Some(Reply::Array(siblings)) => Ok((context, siblings)),
                _ => Ok((context, Vec::new())),
            }
        }
        other => Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "ERR", &format!("{other:?} was not expected"))),
    }
}

fn context_headers(context: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let tag = format!("\"{context}\"");
    // A context is text of letters and digits.
    if let (Ok(context), Ok(tag)) = (HeaderValue::from_str(context), HeaderValue::from_str(&tag)) {
        headers.insert(CONTEXT, context);
        headers.insert(header::ETAG, tag);
    }
    headers
}

fn missing() -> Problem {
    problem(StatusCode::NOT_FOUND, "ERR", "no such key")
}

pub(super) async fn read(
    State(app): State<App>,
    uri: Uri,
    asked: Asked<Choices>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    choices.without_expiry()?;
    let reply = app.commands.run(choices.in_field(words([b"DOT.GET", &key_in(&uri, "/kv/")[..]]))).await;
    let (context, siblings) = siblings_of(reply)?;
    let Some(context) = context else { return Err(missing()) };
    let of = context_headers(&context);
    if siblings.is_empty() {
        return Ok((of, missing()).into_response());
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    let tag = format!("\"{context}\"");
    if known.split(',').map(|it| it.trim().trim_start_matches("W/")).any(|it| it == tag || it == "*") {
        return Ok((StatusCode::NOT_MODIFIED, of).into_response());
    }
    if let [Reply::Map(only)] = siblings.as_slice()
        && let Some((_, Reply::Bulk(value))) = only.first()
    {
        let kind = [(header::CONTENT_TYPE, kind_of(value))];
        return Ok((of, kind, value.clone()).into_response());
    }
    let siblings: Vec<Value> = siblings.iter().map(json::of).collect();
    let body = json!({ "context": context, "siblings": siblings });
    Ok((StatusCode::MULTIPLE_CHOICES, of, Json(body)).into_response())
}

/// What a value looks like: nobody has said what it is.
fn kind_of(value: &[u8]) -> &'static str {
    let begins = value.first().is_some_and(|first| b"{[\"".contains(first));
    if begins && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok() {
        "application/json"
    } else if std::str::from_utf8(value).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// What a request that writes has seen.
enum Seen {
    /// It does not say.
    Unsaid,
    /// This, and something else does not matter.
    Context(Vec<u8>),
    /// This, and nothing else may be there.
    Only(Vec<u8>),
    /// Nothing may be there.
    Nothing,
}

impl Seen {
    fn by(headers: &HeaderMap) -> Result<Self, Problem> {
        let header = |name: HeaderName| headers.get(name).map(|value| value.as_bytes().to_vec());
        match (header(CONTEXT), header(header::IF_MATCH), header(header::IF_NONE_MATCH)) {
            (None, None, None) => Ok(Self::Unsaid),
            (Some(context), None, None) => Ok(Self::Context(context)),
            (None, Some(tag), None) => match tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")) {
                Some(context) => Ok(Self::Only(context.to_vec())),
                None => Err(bad_request("If-Match takes one ETag, in its quotes")),
            },
            (None, None, Some(all)) if all == b"*" => Ok(Self::Nothing),
            (None, None, Some(_)) => Err(bad_request("If-None-Match takes * where something is written")),
            _ => Err(bad_request("X-Dotted-Context, If-Match and If-None-Match do not go together")),
        }
    }
}

pub(super) async fn write(
    State(app): State<App>,
    uri: Uri,
    asked: Asked<Choices>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    let body = body.map_err(|why| problem(why.status(), "ERR", &why.body_text()))?;
    let (key, seen) = (key_in(&uri, "/kv/"), Seen::by(&headers)?);
    if choices.ttl_ms.is_some() && (choices.field.is_some() || matches!(seen, Seen::Context(_) | Seen::Only(_))) {
        choices.without_expiry()?;
    }
    let (context, only) = match seen {
        Seen::Context(context) => (context, false),
        Seen::Only(context) => (context, true),
        Seen::Unsaid | Seen::Nothing => {
            let must_be_new = matches!(seen, Seen::Nothing);
            let reply = app.commands.run(choices.around(choices.plain_write(&key, &body, must_be_new))).await;
            return match reply {
                Reply::Error(why) => Err(refused(&why)),
                Reply::Null | Reply::Integer(0) if must_be_new => {
                    Err(problem(StatusCode::PRECONDITION_FAILED, "ERR", "there is something already"))
                }
                _ => Ok(StatusCode::NO_CONTENT.into_response()),
            };
        }
    };
    let only = only.then_some(&b"IFCURRENT"[..]);
    let command = words([b"DOT.SET", &key[..], &context, &body].into_iter().chain(only));
    written(app.commands.run(choices.in_field(command)).await)
}

impl Choices {
    /// As somebody writes who knows nothing of contexts.
    fn plain_write(&self, key: &[u8], value: &[u8], must_be_new: bool) -> Words {
        match &self.field {
            Some(field) if must_be_new => words([b"HSETNX", key, field.as_bytes(), value]),
            Some(field) => words([b"HSET", key, field.as_bytes(), value]),
            None => {
                let expiry = self.ttl_ms.into_iter().flat_map(|ms| [String::from("PX"), ms.to_string()]);
                let options = expiry.chain(must_be_new.then(|| "NX".to_owned()));
                words([b"SET", key, value]).into_iter().chain(words(options)).collect()
            }
        }
    }
}

/// The context of what was written, and the number of siblings there are now.
fn written(reply: Reply) -> Result<Response, Problem> {
    match reply {
        Reply::Error(why) => Err(refused(&why)),
        Reply::Null | Reply::NullArray => {
            let why = "there is something the context has not seen: read it, and try again";
            Err(problem(StatusCode::PRECONDITION_FAILED, "ERR", why))
        }
        Reply::Array(parts) => match parts.as_slice() {
            [Reply::Bulk(context), Reply::Integer(siblings)] => {
                let mut headers = context_headers(&String::from_utf8_lossy(context));
                headers.insert(SIBLINGS, HeaderValue::from(*siblings));
                Ok((StatusCode::NO_CONTENT, headers).into_response())
            }
            _ => Ok(StatusCode::NO_CONTENT.into_response()),
        },
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

pub(super) async fn remove(
    State(app): State<App>,
    uri: Uri,
    asked: Asked<Choices>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    choices.without_expiry()?;
    let key = key_in(&uri, "/kv/");
    match Seen::by(&headers)? {
        Seen::Unsaid => {
            let command = match &choices.field {
                Some(field) => words([b"HDEL", &key[..], field.as_bytes()]),
                None => words([b"DEL", &key[..]]),
            };
            match app.commands.run(choices.around(command)).await {
                Reply::Error(why) => Err(refused(&why)),
                Reply::Integer(0) => Err(missing()),
                _ => Ok(StatusCode::NO_CONTENT.into_response()),
            }
        }
        Seen::Context(context) => {
            written(app.commands.run(choices.in_field(words([b"DOT.DEL", &key[..], &context]))).await)
        }
        Seen::Only(_) | Seen::Nothing => Err(bad_request("DELETE takes X-Dotted-Context, or nothing")),
    }
}

/// Which keys to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    cursor: Option<u64>,
    matching: Option<String>,
    count: Option<u32>,
    conflicts: Option<bool>,
}

/// Some keys, and where the next page begins; `"0"`: there is none.
pub(super) async fn list(State(app): State<App>, asked: Asked<Listing>) -> Result<Response, Problem> {
    let listing = chosen(asked)?;
    let name = if listing.conflicts == Some(true) { "DOT.CONFLICTS" } else { "SCAN" };
    let mut command = vec![name.to_owned(), listing.cursor.unwrap_or(0).to_string()];
    command.extend(listing.matching.into_iter().flat_map(|pattern| ["MATCH".to_owned(), pattern]));
    command.extend(["COUNT".to_owned(), listing.count.unwrap_or(100).clamp(1, 10_000).to_string()]);
    match app.commands.run(words(command)).await {
        Reply::Error(why) => Err(refused(&why)),
        reply => match json::of(&reply) {
            Value::Array(parts) if parts.len() == 2 => {
                Ok(Json(json!({ "cursor": parts[0], "keys": parts[1] })).into_response())
            }
            other => Ok(Json(other).into_response()),
        },
    }
}
