//! Why a node cannot start or go on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What went wrong, with what, and what to do.
#[derive(Debug)]
pub enum Error {
    /// The data directory cannot be used.
    Directory(PathBuf, io::Error),
    /// Another process uses it.
    DirectoryInUse(PathBuf),
    /// Its contents are damaged.
    DamagedData {
        /// Where.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// They were made by another engine.
    OtherEngine {
        /// The directory.
        path: PathBuf,
        /// Which one.
        engine: &'static str,
    },
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The client port leaves no room for the peer port.
    PeerPort(u16),
    /// Nobody to join there.
    Join(SocketAddr, io::Error),
    /// Another node refused this one.
    Refused(SocketAddr, String),
    /// A thread cannot be started.
    Thread(io::Error),
    /// A node of the demo did not start.
    Demo(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Directory(path, _) => write!(f, "the data directory {} cannot be used", path.display()),
            Error::DirectoryInUse(path) => write!(
                f,
                "the data directory {} is in use by another process: stop it, or give this node a directory of its own with --data",
                path.display()
            ),
            Error::DamagedData { path, why } => write!(
                f,
                "the data in {} is damaged and was left as it is ({why}): move the directory away and start the node \
                 empty with --join, so that the other nodes fill it again, or restore a backup",
                path.display()
            ),
            Error::OtherEngine { path, engine } => write!(
                f,
                "the data in {} was made by the engine {engine}: start with --engine {engine}, or give this node a directory of its own with --data",
                path.display()
            ),
            Error::Listen(address, _) => {
                write!(f, "cannot listen on {address}: choose another with --listen or --peer-listen")
            }
            Error::PeerPort(port) => {
                write!(f, "the peer port would be {port} + 10000, which is no port: choose one with --peer-listen")
            }
            Error::Join(address, _) => write!(f, "no node answers at the peer address {address} given with --join"),
            Error::Refused(address, why) => write!(f, "the node at {address} refuses this one: {why}"),
            Error::Thread(_) => write!(f, "cannot start a thread"),
            Error::Demo(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Directory(_, why) | Error::Listen(_, why) | Error::Join(_, why) | Error::Thread(why) => Some(why),
            _ => None,
        }
    }
}
