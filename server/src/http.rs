//! The same data over HTTP: keys with their causal context in a header, data types as JSON, health, metrics, a web page.
//!
//! Every request becomes commands, which are carried out as a Redis client's are: what they mean is said in one place.

mod commands;
mod guard;
mod json;
mod keys;
mod operations;
mod page;
mod problem;
mod types;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};
use futures_util::future::join_all;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::config::MAX_VALUE_BYTES;
use crate::drain::{Drain, Stage};
use crate::error::Error;
use crate::node::Node;
use crate::tls::{Duplex, HANDSHAKE_TIME};
use commands::Commands;

/// How many connections are served at once; further ones wait to be accepted. Each may hold a greatest value on its way out.
const CONNECTIONS: usize = 256;
/// How long a client may take nothing of an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// What a client of another machine is told where it may not be.
const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
    {\"error\":\"DENIED\",\"message\":\"this node asks for no password and so takes connections of its own machine only: \
    start it with --requirepass, or with --unprotected\"}";
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The greatest body that is JSON: parsed it takes many times as much.
const JSON_BYTES: usize = 4 * 1024 * 1024;
/// The description of everything that is served, in OpenAPI.
const DESCRIPTION: &str = include_str!("http/openapi.json");

/// What every handler has.
#[derive(Clone)]
struct App {
    node: Arc<Node>,
    commands: Commands,
}

/// Everything that is served, but for the page's own files.
fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/kv", get(keys::list)),
        ("/kv/{*key}", get(keys::read).put(keys::write).post(keys::write).delete(keys::remove)),
        ("/types/{*key}", get(types::read).post(types::change).layer(DefaultBodyLimit::max(JSON_BYTES))),
        ("/command", post(types::command).layer(DefaultBodyLimit::max(JSON_BYTES))),
        ("/status", get(operations::status)),
        ("/merges", get(operations::merges)),
        ("/metrics", get(operations::metrics)),
        ("/health", get(operations::health)),
        ("/ready", get(operations::ready)),
        ("/openapi.json", get(operations::description)),
    ]
}

fn router(app: App) -> Router {
    let router = routes().into_iter().fold(page::router(), |router, (path, served)| router.route(path, served));
    let guard = axum::middleware::from_fn_with_state(app.clone(), guard::check);
    router
        .fallback(problem::nothing_here)
        .method_not_allowed_fallback(problem::other_method)
        .layer(DefaultBodyLimit::max(MAX_VALUE_BYTES as usize))
        .layer(guard)
        .with_state(app)
}

/// A door: where connections come in, and how they are encrypted, if they are.
type Door<L> = (L, Option<TlsAcceptor>);

/// Serves from a thread of its own, if there is a door: what is large here does not hold up a worker.
pub(crate) fn start(node: &Arc<Node>, doors: Vec<Door<std::net::TcpListener>>) -> Result<(), Error> {
    if doors.is_empty() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let ours = |(listener, tls)| TcpListener::from_std(listener).map(|listener| (listener, tls));
    let doors = runtime.block_on(async { doors.into_iter().map(ours).collect::<Result<Vec<_>, _>>() });
    let doors = doors.map_err(Error::Thread)?;
    let node = Arc::clone(node);
    let body = move || {
        LocalSet::new().block_on(&runtime, async move {
            let commands = Commands::start(&node);
            let router = router(App { node: Arc::clone(&node), commands });
            let room = Arc::new(Semaphore::new(CONNECTIONS));
            let serves =
                doors.into_iter().map(|door| serve(door, router.clone(), Arc::clone(&room), Arc::clone(&node)));
            let door = Drain::door(&node);
            tokio::select! {
                _ = join_all(serves) => {}
                () = node.drain.reached(Stage::Closing) => {}
            }
            drop(door);
            // The listeners are closed; connections end when their answers have been sent, and this thread with the process.
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(body).map(drop).map_err(Error::Thread)
}

async fn serve((listener, tls): Door<TcpListener>, router: Router, room: Arc<Semaphore>, node: Arc<Node>) {
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, from)) if node.is_closed_to(from.ip()) => {
                // Whether it gets there or not, the connection ends.
                let _ = stream.into_std().and_then(|mut stream| stream.write(DENIED.as_bytes()));
            }
            Ok((stream, from)) => {
                let (router, node, tls) = (router.clone(), Arc::clone(&node), tls.clone());
                tokio::task::spawn_local(async move {
                    match tls {
                        None => serve_connection(stream, from, router, &node).await,
                        Some(tls) => match timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                            Ok(Ok(stream)) => serve_connection(stream, from, router, &node).await,
                            Ok(Err(why)) => tracing::info!("{from} does not come by TLS as it should: {why}"),
                            Err(_) => tracing::info!("{from} took too long for TLS"),
                        },
                    }
                    drop(permit);
                });
            }
            Err(why) => {
                tracing::warn!("an HTTP connection could not be accepted: {why}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_connection(stream: impl Duplex, from: SocketAddr, router: Router, node: &Arc<Node>) {
    let (page, drained) = (Drain::page(node), node.drain.reached(Stage::Draining));
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let service = TowerToHyperService::new(router);
    let served = connection.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = drained => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(why) = ended {
        tracing::debug!("the HTTP connection from {from} ended: {why}");
    }
    drop(page);
}

#[cfg(test)]
mod tests {
    use super::{DESCRIPTION, routes};

    /// A route that nobody describes is one nobody finds.
    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let described: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut described: Vec<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut routed: Vec<String> = routes().iter().map(|(path, _)| path.replace("{*", "{")).collect();
        described.sort_unstable();
        routed.sort_unstable();
        assert_eq!(described, routed);
    }
}
