//! What an operator chooses: flags at the start, and `CONFIG GET`/`SET` while the node runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::disk::Durability;
use crate::engine::EngineKind;
use crate::recovery::WhenDamaged;
use crate::tls::TlsOptions;

/// The greatest key, member or field: what the storage takes as a record's key, with room to spare.
pub const MAX_NAME_BYTES: u64 = 16 * 1024;
/// The greatest value that can be allowed: several siblings of it still fit one message between nodes.
pub const MAX_VALUE_BYTES: u64 = 32 * 1024 * 1024;

/// The flags of `dotted serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:6379", value_name = "HOST:PORT")]
    pub listen: SocketAddr,
    /// Where other nodes connect [default: the client port + 10000].
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_listen: Option<SocketAddr>,
    /// Where HTTP is spoken: keys as JSON, health, metrics, and a page about the node [default: nowhere].
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<SocketAddr>,
    /// Encryption, of clients' connections and of links between nodes.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// The peer address of any node of the cluster to join.
    #[arg(long, value_name = "HOST:PEER-PORT")]
    pub join: Option<SocketAddr>,
    /// Where the data is kept.
    #[arg(long, default_value = "dotted-data", value_name = "DIR")]
    pub data: PathBuf,
    /// What keeps the data; a directory stays with the engine it was made by.
    #[arg(long, value_enum, default_value_t = EngineKind::Fjall)]
    pub engine: EngineKind,
    /// What to do if the data is damaged.
    #[arg(long, value_enum, default_value_t = WhenDamaged::Recover)]
    pub when_damaged: WhenDamaged,
    /// Keep nothing on disk: what this node holds is gone when it stops.
    #[arg(long)]
    pub in_memory: bool,
    /// When a write is answered.
    #[arg(long, value_enum, default_value_t = Durability::Always)]
    pub durability: Durability,
    /// What people call this node [default: its peer address].
    #[arg(long)]
    pub name: Option<String>,
    /// Replicas of each partition, decided by the first node of a cluster.
    #[arg(long, default_value_t = replica::DEFAULT_REPLICAS, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub replicas: u8,
    /// Worker threads, each with its share of the partitions [default: half the cores].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// The greatest value, in bytes.
    #[arg(long, default_value_t = 16 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=MAX_VALUE_BYTES))]
    pub max_value_bytes: u64,
    /// The greatest key, member or field, in bytes.
    #[arg(long, default_value_t = MAX_NAME_BYTES, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=MAX_NAME_BYTES))]
    pub max_key_bytes: u64,
    /// Ask clients for this password (AUTH).
    #[arg(long, value_name = "PASSWORD", env = "DOTTED_REQUIREPASS", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub requirepass: Option<String>,
    /// Take clients of other machines though no password is asked for, and nodes of other machines without certificates.
    #[arg(long)]
    pub unprotected: bool,
    /// Let DOT.FAULT cut and heal the links of this node: for demonstrations and tests only.
    #[arg(long)]
    pub faults: bool,
    /// Stop when standard input ends: for a parent process that may die.
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// A number that `CONFIG SET` changes.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    least: u64,
    greatest: u64,
    value: AtomicU64,
}

impl Setting {
    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Changes it; says what is allowed if that is not.
    ///
    /// # Errors
    /// A sentence with the range.
    pub fn set(&self, to: u64) -> Result<(), String> {
        if !(self.least..=self.greatest).contains(&to) {
            return Err(format!("{} takes a number from {} to {}", self.name, self.least, self.greatest));
        }
        self.value.store(to, Ordering::Relaxed);
        Ok(())
    }
}

/// What can be changed while the node runs.
pub struct Config {
    /// Nodes that must answer a read; 0 for the majority of the owners.
    pub read_quorum: Setting,
    /// Nodes that must hold a write; 0 for the majority of the owners.
    pub write_quorum: Setting,
    /// 1: only owners count, whoever stands in for them.
    pub strict_quorum: Setting,
    /// What this node keeps for owners that do not answer.
    pub stand_in_bytes: Setting,
    /// When a request fails for want of owners.
    pub timeout_ms: Setting,
    /// The greatest value.
    pub max_value_bytes: Setting,
    /// The greatest key, member or field.
    pub max_key_bytes: Setting,
    /// After how many milliseconds a script is stopped.
    pub script_ms: Setting,
    /// From how many microseconds on a command is in the slow log.
    pub slow_micros: Setting,
}

impl Config {
    pub(crate) fn new(options: &ServeOptions) -> Self {
        let setting = |name, value, least, greatest| Setting { name, least, greatest, value: AtomicU64::new(value) };
        Self {
            read_quorum: setting("read-quorum", 0, 0, 9),
            write_quorum: setting("write-quorum", 0, 0, 9),
            strict_quorum: setting("strict-quorum", 0, 0, 1),
            stand_in_bytes: setting("stand-in-bytes", 256 * 1024 * 1024, 0, 1 << 40),
            timeout_ms: setting("timeout-ms", 2_000, 10, 600_000),
            max_value_bytes: setting("max-value-bytes", options.max_value_bytes, 1, MAX_VALUE_BYTES),
            max_key_bytes: setting("max-key-bytes", options.max_key_bytes, 1, MAX_NAME_BYTES),
            script_ms: setting("lua-time-limit", 1_000, 1, 60_000),
            slow_micros: setting("slowlog-log-slower-than", 10_000, 0, u64::MAX),
        }
    }

    /// Everything that can be changed.
    pub fn settings(&self) -> [&Setting; 9] {
        [
            &self.read_quorum,
            &self.write_quorum,
            &self.strict_quorum,
            &self.stand_in_bytes,
            &self.timeout_ms,
            &self.max_value_bytes,
            &self.max_key_bytes,
            &self.script_ms,
            &self.slow_micros,
        ]
    }
}
