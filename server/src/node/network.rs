//! What a node's first worker drives beside its core: the links to other nodes, and the doors for clients.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use replica::{BEAT_MS, NodeId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;

use crate::drain::{Drain, Stage};
use crate::error::Error;
use crate::node::{Node, holdings};
use crate::peer;
use crate::worker::ToWorker;

/// What a client of another machine is told where it may not be.
const DENIED: &[u8] = b"-DENIED this node asks for no password and so takes connections of its own machine only: \
    start it with --requirepass, or with --unprotected\r\n";
/// What a client is told that is one too many.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";
/// How often a node that starts looks whether it hears the others.
const CONTACT_TIME: Duration = Duration::from_millis(5);

/// What the first worker's thread drives beside its core.
pub(super) struct Network {
    pub(super) clients: TcpListener,
    /// The listener for clients that come by TLS.
    pub(super) secret: Option<(TcpListener, TlsAcceptor)>,
    pub(super) peers: TcpListener,
    pub(super) wanted: UnboundedReceiver<(NodeId, SocketAddr)>,
    pub(super) peer_address: SocketAddr,
}

pub(super) async fn start_network(node: &Arc<Node>, network: Network) -> Result<(), Error> {
    let Network { clients, secret, peers, wanted, peer_address } = network;
    let clients = tokio::net::TcpListener::from_std(clients).map_err(Error::Thread)?;
    let peers = tokio::net::TcpListener::from_std(peers).map_err(Error::Thread)?;
    tokio::task::spawn_local(peer::accept(peers, Arc::clone(node)));
    tokio::task::spawn_local(peer::keep_links(wanted, Arc::clone(node), peer_address));
    tokio::task::spawn_local(beat(Arc::clone(node)));
    tokio::task::spawn_local(holdings::announce(Arc::clone(node)));
    if let Some(place) = &node.options.join {
        let (other, address) = peer::find(place, node, peer_address).await?;
        node.peers.connect(other, address, node.now_ms());
    }
    let node = Arc::clone(node);
    tokio::task::spawn_local(async move {
        wait_for_contact(&node).await;
        if let Some((listener, tls)) = secret {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    let accepts = accept_until_drained(listener, Some(tls), Arc::clone(&node));
                    drop(tokio::task::spawn_local(accepts));
                }
                Err(why) => tracing::error!("no client can come by TLS: {why}"),
            }
        }
        accept_until_drained(clients, None, node).await;
    });
    Ok(())
}

/// A node that has just started has heard nobody: what it was asked for would fail though everybody is there. Clients wait
/// for the others to be heard, if they are, before the first command is taken.
async fn wait_for_contact(node: &Node) {
    let is_in_contact = || {
        let view = node.view();
        let knows_others = node.options.join.is_none() || view.members.current().count() > 1;
        knows_others && view.members.current().all(|(other, _)| view.alive.contains(other))
    };
    while !is_in_contact() && node.now_ms() < replica::SILENCE_MS {
        tokio::time::sleep(CONTACT_TIME).await;
    }
}

async fn beat(node: Arc<Node>) {
    let mut beats = tokio::time::interval(Duration::from_millis(BEAT_MS));
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        node.with_cluster(|cluster, now, out| {
            // Nobody is told that it is there once the others have been told that it goes.
            if !node.drain.is_leaving() {
                cluster.tick(now, out);
            }
        });
    }
}

/// Takes clients until the node ends; then the port is closed.
async fn accept_until_drained(listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, node: Arc<Node>) {
    let _door = Drain::door(&node); // longer than the listener
    tokio::select! {
        () = accept(listener, tls, Arc::clone(&node)) => {}
        () = node.drain.reached(Stage::Closing) => {}
    }
}

/// Deals connections out to the workers in turn.
async fn accept(listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, node: Arc<Node>) {
    let mut next = 0;
    loop {
        match listener.accept().await {
            Ok((stream, from)) if node.is_closed_to(from.ip()) => {
                tracing::warn!(
                    "a client at {from} was refused: no password is asked for, and --unprotected was not given"
                );
                // Whether it gets there or not, the connection ends.
                let _ = stream.into_std().and_then(|mut stream| stream.write(DENIED));
            }
            Ok((stream, from)) if node.clients.count() as u64 >= node.config.max_clients.get() => {
                tracing::warn!("a client at {from} was refused: as many are connected as may be (maxclients)");
                let _ = stream.into_std().and_then(|mut stream| stream.write(FULL));
            }
            // A connection belongs to the runtime of the worker that serves it, not of the one that accepted it.
            Ok((stream, _)) => match stream.into_std() {
                Ok(stream) => node.tell(next, ToWorker::Accept(stream, tls.clone())),
                Err(why) => tracing::warn!("a connection could not be handed over: {why}"),
            },
            Err(why) => {
                tracing::warn!("a connection could not be accepted: {why}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        next = (next + 1) % node.workers();
    }
}
