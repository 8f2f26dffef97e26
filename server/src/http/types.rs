//! `/types/<key>`: whatever a key holds, as JSON; and `/command`: any command.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::App;
use super::commands::{Words, words};
use super::json;
use super::keys::{Asked, Choices, chosen, key_in};
use super::problem::{Problem, bad_request, problem, refused};
use crate::resp::Reply;

pub(super) async fn read(State(app): State<App>, uri: Uri, asked: Asked<Choices>) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    choices.only_quorums()?;
    let key = key_in(&uri, "/types/");
    let run = |command: Words| app.commands.run(choices.around(command));
    let kind = match run(words([b"TYPE", &key[..]])).await {
        Reply::Simple(kind) => kind,
        Reply::Error(why) => return Err(refused(&why)),
        _ => return Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "ERR", "the type was not said")),
    };
    let command = match kind.as_ref() {
        "none" => return Err(problem(StatusCode::NOT_FOUND, "ERR", "no such key")),
        "string" => words([b"GET", &key[..]]),
        "hash" => words([b"HGETALL", &key[..]]),
        "set" => words([b"SMEMBERS", &key[..]]),
        "list" => words([b"LRANGE", &key[..], b"0", b"-1"]),
        "stream" => words([b"XRANGE", &key[..], b"-", b"+"]),
        _ => words([b"ZRANGE", &key[..], b"0", b"-1", b"WITHSCORES"]),
    };
    let (value, ttl) = (run(command).await, run(words([b"PTTL", &key[..]])).await);
    if let Reply::Error(why) = value {
        return Err(refused(&why));
    }
    let ttl = Some(ttl).filter(|ttl| matches!(ttl, Reply::Integer(ms) if *ms >= 0));
    let shown = json!({
        "key": json::text(&key),
        "type": kind,
        "ttl_ms": ttl.as_ref().map(json::of),
        "value": json::of(&value),
    });
    Ok(Json(shown).into_response())
}

/// What can be done to a key: all that is given, at once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    /// A counter: by so much.
    increment: Option<Value>,
    /// A set: these members more.
    add: Vec<Value>,
    /// A set: these members less.
    remove: Vec<Value>,
    /// A hash: these fields have these values.
    set: Map<String, Value>,
    /// A hash: these fields less.
    unset: Vec<Value>,
    /// A hash: these fields by so much.
    increment_fields: Map<String, Value>,
    /// A sorted set: these members have these scores.
    scores: Map<String, Value>,
    /// A sorted set: these members by so much.
    increment_scores: Map<String, Value>,
    /// A sorted set: these members less.
    unrank: Vec<Value>,
    /// A list: these elements behind the last.
    push: Vec<Value>,
    /// A list: these elements before the first.
    push_front: Vec<Value>,
    /// It ends after so many milliseconds.
    ttl_ms: Option<u64>,
}

impl Change {
    /// As commands on the key.
    fn commands(&self, key: &[u8]) -> Result<Vec<Words>, Problem> {
        let bytes = |value: &Value| {
            json::bytes(value).ok_or_else(|| {
                bad_request(&format!("{value} is neither a text, a number of few digits, nor {{\"base64\": ..}}"))
            })
        };
        let begin = |name: &str| words([name.as_bytes(), key]);
        let mut commands = Vec::new();
        if let Some(by) = &self.increment {
            let name = if by.is_f64() { "INCRBYFLOAT" } else { "INCRBY" };
            commands.push(begin(name).into_iter().chain(words([bytes(by)?])).collect());
        }
        let lists = [
            ("SADD", &self.add),
            ("SREM", &self.remove),
            ("HDEL", &self.unset),
            ("ZREM", &self.unrank),
            ("RPUSH", &self.push),
            ("LPUSH", &self.push_front),
        ];
        for (name, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
            let items = items.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            commands.push(begin(name).into_iter().chain(words(items)).collect());
        }
        if !self.set.is_empty() {
            let mut command = begin("HSET");
            for (field, value) in &self.set {
                command.extend(words([field.as_bytes(), &bytes(value)?]));
            }
            commands.push(command);
        }
        if !self.scores.is_empty() {
            let mut command = begin("ZADD");
            for (member, score) in &self.scores {
                command.extend(words([&bytes(score)?[..], member.as_bytes()]));
            }
            commands.push(command);
        }
        for (field, by) in &self.increment_fields {
            let name = if by.is_f64() { "HINCRBYFLOAT" } else { "HINCRBY" };
            commands.push(begin(name).into_iter().chain(words([field.as_bytes(), &bytes(by)?])).collect());
        }
        for (member, by) in &self.increment_scores {
            commands.push(begin("ZINCRBY").into_iter().chain(words([&bytes(by)?[..], member.as_bytes()])).collect());
        }
        if let Some(ms) = self.ttl_ms {
            commands.push(begin("PEXPIRE").into_iter().chain(words([ms.to_string()])).collect());
        }
        if commands.is_empty() {
            return Err(bad_request(
                "nothing to do: name something of increment, add, remove, set, unset, increment_fields, scores, increment_scores, unrank, push, push_front, ttl_ms",
            ));
        }
        Ok(commands)
    }
}

/// How many words a command made of a request may have.
const MAX_WORDS: usize = 65_536;

fn check_words(count: usize) -> Result<(), Problem> {
    let why = format!("a command has at most {MAX_WORDS} words here");
    if count > MAX_WORDS { Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "ERR", &why)) } else { Ok(()) }
}

type Body<T> = Result<Json<T>, JsonRejection>;

fn body_of<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(body)| body).map_err(|why| problem(why.status(), "ERR", &why.body_text()))
}

/// Everything a change names, as one transaction; says what each command has said.
pub(super) async fn change(
    State(app): State<App>,
    uri: Uri,
    asked: Asked<Choices>,
    body: Body<Change>,
) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    choices.only_quorums()?;
    let commands = body_of(body)?.commands(&key_in(&uri, "/types/"))?;
    check_words(commands.iter().map(Vec::len).sum())?;
    let chosen = choices.around(Words::new());
    let before = (!chosen.is_empty()).then_some(chosen).into_iter().chain([words(["MULTI"])]);
    let all = before.chain(commands).chain([words(["EXEC"])]).collect();
    let replies = app.commands.run_all(all).await;
    match replies.last() {
        Some(Reply::Error(why)) => Err(refused(why)),
        Some(Reply::Array(said)) => {
            // As in Redis, what one command cannot do is no reason for the others not to be done: all of it is said.
            let has_failed = said.iter().any(|reply| matches!(reply, Reply::Error(_)));
            let status = if has_failed { StatusCode::CONFLICT } else { StatusCode::OK };
            let mut body = json!({ "replies": said.iter().map(json::of).collect::<Vec<_>>() });
            if has_failed {
                body["error"] = Value::from("PARTLY");
                body["message"] = Value::from("not all of it could be done: replies say, in their order, what was");
            }
            Ok((status, Json(body)).into_response())
        }
        _ => Err(problem(StatusCode::INTERNAL_SERVER_ERROR, "ERR", "nothing was said")),
    }
}

/// Any command, as a list of its words.
pub(super) async fn command(
    State(app): State<App>,
    asked: Asked<Choices>,
    body: Body<Vec<Value>>,
) -> Result<Response, Problem> {
    let choices = chosen(asked)?;
    choices.only_quorums()?;
    let said: Option<Vec<Vec<u8>>> = body_of(body)?.iter().map(json::bytes).collect();
    check_words(said.as_ref().map_or(0, Vec::len))?;
    let said = said.filter(|said| !said.is_empty());
    let said = said.ok_or_else(|| bad_request("a command is a list of texts and numbers: [\"SET\", \"k\", \"v\"]"))?;
    match app.commands.run(choices.around(words(said))).await {
        Reply::Error(why) => Err(refused(&why)),
        reply => Ok(Json(json!({ "reply": json::of(&reply) })).into_response()),
    }
}
