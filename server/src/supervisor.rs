//! What is told to systemd (`Type=notify`): that the node takes connections, and that it is about to end.
//!
//! The socket's name is in `NOTIFY_SOCKET`; without one nobody wants to know.

use std::os::unix::net::UnixDatagram;

/// The node takes connections.
pub fn ready() {
    tell("READY=1");
}

/// The node is about to end; what is under way may take so long.
pub fn stopping(drain_ms: u64) {
    // systemd waits a second longer than the node does for its clients, for the disk.
    tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", (drain_ms + 1_000) * 1_000));
}

fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| match name.to_str().and_then(|name| name.strip_prefix('@')) {
        Some(name) => in_namespace(&socket, name, state.as_bytes()),
        None => socket.send_to(state.as_bytes(), &name),
    });
    if let Err(why) = sent {
        tracing::warn!("NOTIFY_SOCKET cannot be told {state}: {why}");
    }
}

/// Names that begin with `@` are in Linux' abstract namespace.
#[cfg(target_os = "linux")]
fn in_namespace(socket: &UnixDatagram, name: &str, state: &[u8]) -> std::io::Result<usize> {
    use std::os::linux::net::SocketAddrExt as _;
    socket.send_to_addr(state, &std::os::unix::net::SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn in_namespace(_: &UnixDatagram, _: &str, _: &[u8]) -> std::io::Result<usize> {
    Err(std::io::ErrorKind::Unsupported.into())
}
