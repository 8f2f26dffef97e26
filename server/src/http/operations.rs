//! How the node is: for people, for load balancers, for Prometheus.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use replica::{NodeId, PartitionId};
use serde_json::{Value, json};

use super::commands::words;
use super::problem::Problem;
use super::{App, DESCRIPTION, json};
use crate::drain::Stage;
use crate::merges;
use crate::metrics;
use crate::node::Node;
use crate::pubsub::{Messages, Subscriber, Topic};
use crate::resp::Reply;

pub(super) async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// The process is there.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Does the node hold what it owns, and does it see a majority of the owners of everything?
pub(super) async fn ready(State(app): State<App>) -> Response {
    let view = app.node.view();
    let (mut filling, mut unreachable) = (0, 0);
    for partition in PartitionId::all() {
        let replicas = view.replicas(partition);
        filling += usize::from(replicas.filling.contains(&app.node.id));
        let alive = replicas.serving.iter().filter(|node| view.alive.contains(node)).count();
        unreachable += usize::from(alive < usize::from(replicas.majority()));
    }
    let status = if filling + unreachable == 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": status == StatusCode::OK,
        "partitions_filling": filling,
        "partitions_without_majority": unreachable,
    });
    (status, Json(body)).into_response()
}

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    app.commands.check(&words(["INFO"]))?;
    let (keys, entropy) = (app.commands.run(words(["DBSIZE"])).await, app.commands.run(words(["DOT.ENTROPY"])).await);
    let keys = if let Reply::Integer(keys) = keys { Some(keys) } else { None };
    let text = metrics::render(&app.node, keys, &lacks(&json::of(&entropy)));
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

fn lacks(entropy: &Value) -> Vec<metrics::Lack> {
    let number = |of: &Value, name: &str| of[name].as_i64().unwrap_or(0);
    let lack = |of: &Value| metrics::Lack {
        node: of["node"].as_str().unwrap_or_default().to_owned(),
        there: number(of, "missing-there"),
        here: number(of, "missing-here"),
    };
    entropy.as_array().into_iter().flatten().map(lack).collect()
}

/// All that the page shows at a glance: members, who owns which partition, what they lack of each other.
pub(super) async fn status(State(app): State<App>) -> Result<Response, Problem> {
    app.commands.check(&words(["INFO"]))?;
    let mut said = [Value::Null, Value::Null, Value::Null];
    for (said, command) in said.iter_mut().zip(["DBSIZE", "DOT.ENTROPY", "DOT.LAYOUT SHOW"]) {
        // While a part of the cluster is away, what can be said is.
        match app.commands.run(words(command.split(' '))).await {
            Reply::Error(_) => {}
            reply => *said = json::of(&reply),
        }
    }
    let [keys, entropy, layout] = said;
    let node = &app.node;
    let view = node.view();
    let mut members: Vec<(&NodeId, &replica::Member)> = view.members.current().collect();
    members.sort_by_key(|(_, member)| &member.name);
    let place = |id: &NodeId| members.iter().position(|(member, _)| *member == id);
    let owners = |partition| view.replicas(partition).serving.iter().filter_map(place).collect::<Vec<_>>();
    let filling = |partition| view.replicas(partition).filling.iter().filter_map(place).collect::<Vec<_>>();
    let described = members.iter().map(|(id, member)| {
        json!({
            "name": member.name,
            "id": id.to_string(),
            "client_address": member.client_address.to_string(),
            "peer_address": member.peer_address.to_string(),
            "incarnation": member.incarnation.0,
            "alive": view.alive.contains(id),
        })
    });
    Ok(Json(json!({
        "node": view.name(node.id),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": node.started.elapsed().as_secs(),
        "commands": node.commands.load(Ordering::Relaxed),
        "merges": node.merges.load(Ordering::Relaxed),
        "clients": node.clients.count(),
        "keys": keys,
        "replicas": view.members.replicas(),
        "members": described.collect::<Vec<_>>(),
        "owners": PartitionId::all().map(owners).collect::<Vec<_>>(),
        "filling": PartitionId::all().map(filling).collect::<Vec<_>>(),
        "entropy": entropy,
        "layout": layout,
        "faults": {
            "allowed": node.options.faults,
            "cut": node.peers.faults().cut.iter().map(|other| view.name(*other)).collect::<Vec<_>>(),
        },
    }))
    .into_response())
}

/// Follows the merges of this node, until it is dropped.
struct Follower {
    node: Arc<Node>,
    id: u64,
    messages: Messages,
}

impl Follower {
    fn new(node: &Arc<Node>) -> Self {
        let id = node.next_client.fetch_add(1, Ordering::Relaxed);
        let (subscriber, messages) = Subscriber::new(id);
        node.pubsub.subscribe(Topic::Channel, merges::CHANNEL, &subscriber);
        Self { node: Arc::clone(node), id, messages }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let delivery = tokio::select! {
            delivery = self.messages.recv() => delivery?,
            () = self.node.drain.reached(Stage::Draining) => return None,
        };
        let Reply::Push(parts) = delivery.into_reply() else { return None };
        let Some(Reply::Bulk(payload)) = parts.last() else { return None };
        Some((Ok(Event::default().data(String::from_utf8_lossy(payload))), self))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.node.pubsub.forget(self.id);
    }
}

/// Each merge of this node as it happens, as server-sent events.
pub(super) async fn merges(State(app): State<App>) -> Result<Response, Problem> {
    app.commands.check(&words([&b"SUBSCRIBE"[..], merges::CHANNEL]))?;
    let stream = unfold(Follower::new(&app.node), Follower::next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}
