//! Why a node cannot start or go on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::engine::EngineError;

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
    /// They were written by another release.
    OtherVersion(PathBuf),
    /// There is no space left for them.
    Full {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// They cannot be used.
    Records {
        /// Where.
        path: PathBuf,
        /// What was said.
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
    /// A name that is not known.
    Unresolved(String, io::Error),
    /// Other nodes cannot reach what is bound to every address.
    NowhereToReach(SocketAddr),
    /// Another node refused this one.
    Refused(SocketAddr, String),
    /// Another node has this one's id.
    IdInUse(SocketAddr, String),
    /// A certificate or key cannot be used.
    Tls(PathBuf, String),
    /// The file of users cannot be used.
    Acl(PathBuf, String),
    /// A thread cannot be started.
    Thread(io::Error),
    /// A node of the demo did not start.
    Demo(String),
    /// A server does not answer.
    Unreachable(String, io::Error),
    /// It answers with something that is no help.
    Answer {
        /// Where it is.
        address: String,
        /// What it was asked.
        command: String,
        /// What it said.
        why: String,
    },
    /// It has keys where it should have none.
    NotEmpty {
        /// Where it is.
        address: String,
        /// How many.
        keys: u64,
    },
    /// A cluster that is not as it should be.
    NotWell(String),
    /// A setting of a file, or of the environment, that is none or cannot be: where, and why.
    Setting(String, String),
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// It is no whole backup.
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// What an engine said of the records there.
    pub(crate) fn of_records(path: &Path, error: EngineError) -> Self {
        let path = path.to_owned();
        match error {
            EngineError::Damaged(why) => Error::DamagedData { path, why },
            EngineError::Full(why) => Error::Full { path, why },
            EngineError::Failed(why) => Error::Records { path, why },
        }
    }
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
                "the data in {} is damaged and was left as it is ({why}): start with --when-damaged recover or repair, or \
                 move the directory away and start the node empty with --join, so that the other nodes fill it again, or \
                 restore a backup",
                path.display()
            ),
            Error::OtherVersion(path) => write!(
                f,
                "the data in {} was written by another release, or its file `ledger` is gone: move the directory away and \
                 start the node empty with --join, or restore a backup that the other release has made",
                path.display()
            ),
            Error::Full { path, why } => write!(
                f,
                "there is no space left in {} ({why}): make space there and start the node again",
                path.display()
            ),
            Error::Records { path, why } => write!(f, "the data in {} cannot be used: {why}", path.display()),
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
            Error::Unresolved(place, _) => {
                write!(f, "{place} is no address, and no name that is known here (--join, --advertise)")
            }
            Error::NowhereToReach(address) => write!(
                f,
                "other nodes cannot reach this one at {address}, where it listens: say with --advertise HOST where they can"
            ),
            Error::Refused(address, why) | Error::IdInUse(address, why) => {
                write!(f, "the node at {address} refuses this one: {why}")
            }
            Error::Tls(path, why) => write!(
                f,
                "{} cannot be used for TLS ({why}): it must be a PEM file with what the flag names, and the key must be that of the certificate",
                path.display()
            ),
            Error::Acl(path, why) => write!(
                f,
                "the users of {} cannot be used: {why}: correct the lines named, or start without --aclfile",
                path.display()
            ),
            Error::Thread(_) => write!(f, "cannot start a thread"),
            Error::Demo(what) | Error::NotWell(what) => f.write_str(what),
            Error::Unreachable(address, _) => {
                write!(f, "no server answers at {address}: is it running, and is that its address for clients?")
            }
            Error::Answer { address, command, why } => {
                write!(f, "the server at {address} answers {command} with: {why}")
            }
            Error::NotEmpty { address, keys } => write!(
                f,
                "the server at {address} has {keys} keys: restore into an empty one, or with --replace, by which keys of the backup replace those there"
            ),
            Error::Setting(place, why) => write!(f, "{place}: {why}"),
            Error::File(path, _) => write!(f, "{} cannot be read or written", path.display()),
            Error::NotABackup { path, why } => {
                write!(f, "{} is no whole backup ({why}): nothing was restored", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Directory(_, why)
            | Error::Listen(_, why)
            | Error::Join(_, why)
            | Error::Unresolved(_, why)
            | Error::Thread(why)
            | Error::Unreachable(_, why)
            | Error::File(_, why) => Some(why),
            _ => None,
        }
    }
}
