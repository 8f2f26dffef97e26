//! What an operator chooses: flags at the start, and `CONFIG GET`/`SET` while the node runs.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::configuration::InForce;
use crate::disk::Durability;
use crate::engine::EngineKind;
use crate::logs::{self, LogFormat};
use crate::notifications::Flags;
use crate::place::Place;
use crate::recovery::WhenDamaged;
use crate::tls::TlsOptions;

/// The greatest key, member or field: what the storage takes as a record's key, with room to spare.
pub const MAX_NAME_BYTES: u64 = 16 * 1024;
/// The greatest value that can be allowed: several siblings of it still fit one message between nodes.
pub const MAX_VALUE_BYTES: u64 = 32 * 1024 * 1024;

/// What each number that `CONFIG SET` changes may be.
const QUORUM: RangeInclusive<u64> = 0..=9;
const STRICT: RangeInclusive<u64> = 0..=1;
const STAND_IN_BYTES: RangeInclusive<u64> = 0..=1 << 40;
const LOG_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
const TIMEOUT_MS: RangeInclusive<u64> = 10..=600_000;
const VALUE_BYTES: RangeInclusive<u64> = 1..=MAX_VALUE_BYTES;
const KEY_BYTES: RangeInclusive<u64> = 1..=MAX_NAME_BYTES;
const SCRIPT_MS: RangeInclusive<u64> = 1..=60_000;
const ACL_LOG_ENTRIES: RangeInclusive<u64> = 0..=100_000;
const TRACKED_KEYS: RangeInclusive<u64> = 1..=100_000_000;
const CLIENTS: RangeInclusive<u64> = 1..=1_000_000;
const BACKLOG_BYTES: RangeInclusive<u64> = 1024 * 1024..=1 << 40;
const STREAM_BYTES_PER_S: RangeInclusive<u64> = 64 * 1024..=1 << 40;
const STREAM_LATENCY_MS: RangeInclusive<u64> = 1..=60_000;

/// The flags of `dotted serve`. Each is a setting of the configuration file and of the environment as well, by its own name: see
/// [`configuration`](crate::configuration).
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// A file of settings (TOML) with the names of these flags.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what is in force and where each setting comes from, in the form of such a file, and end.
    #[arg(long)]
    pub print_config: bool,
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
    /// The peer address of any node of the cluster to join; a name is looked up until it is known and somebody answers.
    #[arg(long, value_name = "HOST:PEER-PORT", value_parser = Place::with_port)]
    pub join: Option<Place>,
    /// Where clients and other nodes reach this one, if not where it listens (0.0.0.0, a container): the host, and the client port if
    /// that is another too.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub advertise: Option<Place>,
    /// Where other nodes reach it, if not at the host of --advertise and the port of --peer-listen.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub peer_advertise: Option<Place>,
    /// Where the data is kept.
    #[arg(long, default_value = "dotted-data", value_name = "DIR")]
    pub data: PathBuf,
    /// What keeps the data; a directory stays with the engine it was made by. That of memory keeps nothing when the node stops.
    #[arg(long, value_enum, default_value_t = EngineKind::Fjall)]
    pub engine: EngineKind,
    /// What to do if the data is damaged.
    #[arg(long, value_enum, default_value_t = WhenDamaged::Recover)]
    pub when_damaged: WhenDamaged,
    /// Keep nothing on disk: --engine memory, whatever else is said.
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
    #[arg(long, default_value_t = 16 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(VALUE_BYTES))]
    pub max_value_bytes: u64,
    /// The greatest key, member or field, in bytes.
    #[arg(long, default_value_t = MAX_NAME_BYTES, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(KEY_BYTES))]
    pub max_key_bytes: u64,
    /// Nodes that must answer a read; 0: the majority of the owners. This and what follows up to the flags of how a node ends can be changed while it runs
    /// (CONFIG SET).
    #[arg(long, default_value_t = 0, value_name = "NODES", value_parser = clap::value_parser!(u64).range(QUORUM))]
    pub read_quorum: u64,
    /// Nodes that must hold a write; 0: the majority of the owners.
    #[arg(long, default_value_t = 0, value_name = "NODES", value_parser = clap::value_parser!(u64).range(QUORUM))]
    pub write_quorum: u64,
    /// 1: only owners count, whoever stands in for them.
    #[arg(long, default_value_t = 0, value_name = "0|1", value_parser = clap::value_parser!(u64).range(STRICT))]
    pub strict_quorum: u64,
    /// What this node keeps for owners that do not answer, in bytes.
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(STAND_IN_BYTES))]
    pub stand_in_bytes: u64,
    /// What this node remembers of what owners have missed that are away, in bytes; beyond that they are copied everything.
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(LOG_BYTES))]
    pub log_max_bytes: u64,
    /// When a request fails for want of owners.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(TIMEOUT_MS))]
    pub timeout_ms: u64,
    /// When a script is stopped.
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(SCRIPT_MS))]
    pub lua_time_limit: u64,
    /// From how many microseconds on a command is in the slow log.
    #[arg(long, default_value_t = 10_000, value_name = "MICROSECONDS")]
    pub slowlog_log_slower_than: u64,
    /// Which events of keys are published (Ag$lshzxeKEtmdn as in Redis, D for sibling, merged and resolved); can be changed while the
    /// node runs.
    #[arg(long, default_value = "", value_name = "FLAGS")]
    pub notify_keyspace_events: Flags,
    /// How many refusals ACL LOG keeps.
    #[arg(long, default_value_t = 128, value_name = "ENTRIES", value_parser = clap::value_parser!(u64).range(ACL_LOG_ENTRIES))]
    pub acllog_max_len: u64,
    /// How many keys are remembered that clients have read (CLIENT TRACKING); of more, some are told to be void.
    #[arg(long, default_value_t = 1_000_000, value_name = "KEYS", value_parser = clap::value_parser!(u64).range(TRACKED_KEYS))]
    pub tracking_table_max_keys: u64,
    /// How many clients may be connected; more are told so and let go.
    #[arg(long, default_value_t = 10_000, value_name = "CLIENTS", value_parser = clap::value_parser!(u64).range(CLIENTS))]
    pub maxclients: u64,
    /// How many bytes may wait for the disk; beyond that writes are refused with BUSY until it has caught up.
    #[arg(long, default_value_t = 256 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(BACKLOG_BYTES))]
    pub backlog_bytes: u64,
    /// How fast this node copies partitions to others that are being filled, at most, in bytes per second.
    #[arg(long, default_value_t = 128 * 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(STREAM_BYTES_PER_S))]
    pub stream_bytes_per_s: u64,
    /// While the slowest hundredth of its commands takes longer than this, it copies more and more slowly.
    #[arg(long, default_value_t = 25, value_name = "MS", value_parser = clap::value_parser!(u64).range(STREAM_LATENCY_MS))]
    pub stream_latency_ms: u64,
    /// How long commands under way may take to be answered when the node is asked to end.
    #[arg(long, default_value_t = 5_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub drain_ms: u64,
    /// How much is logged: error, warn, info, debug, trace, or a filter as of RUST_LOG [default: RUST_LOG, or info].
    #[arg(long, value_name = "LEVEL", value_parser = logs::check_level)]
    pub log_level: Option<String>,
    /// How an event is logged: as a line for people, or as one of JSON.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Ask clients for this password (AUTH).
    #[arg(long, value_name = "PASSWORD", env = "DOTTED_REQUIREPASS", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub requirepass: Option<String>,
    /// A file of users, a line each: user NAME RULE .., as Redis has it (ACL LOAD, ACL SAVE).
    #[arg(long, value_name = "FILE")]
    pub aclfile: Option<PathBuf>,
    /// Take clients of other machines though no password is asked for, and nodes of other machines without certificates.
    #[arg(long)]
    pub unprotected: bool,
    /// Let DOT.FAULT cut and heal the links of this node: for demonstrations and tests only.
    #[arg(long)]
    pub faults: bool,
    /// Stop when standard input ends: for a parent process that may die.
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
    /// What is in force and where it comes from, for `CONFIG GET`; nothing where an application is started by flags of its own.
    #[arg(skip)]
    pub in_force: Vec<InForce>,
}

impl ServeOptions {
    /// What keeps the data, by all that was said of it.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        if self.in_memory { EngineKind::Memory } else { self.engine }
    }

    /// Does it keep nothing on disk?
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.engine() == EngineKind::Memory
    }
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
    /// How much this node remembers of what owners have missed that are away.
    pub log_max_bytes: Setting,
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
    /// How many refusals ACL LOG keeps.
    pub acl_log_entries: Setting,
    /// How many keys are remembered that clients have read.
    pub tracked_keys: Setting,
    /// How many clients may be connected.
    pub max_clients: Setting,
    /// How many bytes may wait for the disk.
    pub backlog_bytes: Setting,
    /// How fast partitions are copied, at most.
    pub stream_bytes_per_s: Setting,
    /// Above which time of the slowest hundredth of commands they are copied more slowly.
    pub stream_latency_ms: Setting,
}

impl Config {
    pub(crate) fn new(options: &ServeOptions) -> Self {
        let setting = |name, value, range: RangeInclusive<u64>| Setting {
            name,
            least: *range.start(),
            greatest: *range.end(),
            value: AtomicU64::new(value),
        };
        Self {
            read_quorum: setting("read-quorum", options.read_quorum, QUORUM),
            write_quorum: setting("write-quorum", options.write_quorum, QUORUM),
            strict_quorum: setting("strict-quorum", options.strict_quorum, STRICT),
            stand_in_bytes: setting("stand-in-bytes", options.stand_in_bytes, STAND_IN_BYTES),
            log_max_bytes: setting("log-max-bytes", options.log_max_bytes, LOG_BYTES),
            timeout_ms: setting("timeout-ms", options.timeout_ms, TIMEOUT_MS),
            max_value_bytes: setting("max-value-bytes", options.max_value_bytes, VALUE_BYTES),
            max_key_bytes: setting("max-key-bytes", options.max_key_bytes, KEY_BYTES),
            script_ms: setting("lua-time-limit", options.lua_time_limit, SCRIPT_MS),
            slow_micros: setting("slowlog-log-slower-than", options.slowlog_log_slower_than, 0..=u64::MAX),
            acl_log_entries: setting("acllog-max-len", options.acllog_max_len, ACL_LOG_ENTRIES),
            tracked_keys: setting("tracking-table-max-keys", options.tracking_table_max_keys, TRACKED_KEYS),
            max_clients: setting("maxclients", options.maxclients, CLIENTS),
            backlog_bytes: setting("backlog-bytes", options.backlog_bytes, BACKLOG_BYTES),
            stream_bytes_per_s: setting("stream-bytes-per-s", options.stream_bytes_per_s, STREAM_BYTES_PER_S),
            stream_latency_ms: setting("stream-latency-ms", options.stream_latency_ms, STREAM_LATENCY_MS),
        }
    }

    /// Everything that can be changed.
    pub fn settings(&self) -> [&Setting; 16] {
        [
            &self.read_quorum,
            &self.write_quorum,
            &self.strict_quorum,
            &self.stand_in_bytes,
            &self.log_max_bytes,
            &self.timeout_ms,
            &self.max_value_bytes,
            &self.max_key_bytes,
            &self.script_ms,
            &self.slow_micros,
            &self.acl_log_entries,
            &self.tracked_keys,
            &self.max_clients,
            &self.backlog_bytes,
            &self.stream_bytes_per_s,
            &self.stream_latency_ms,
        ]
    }
}
