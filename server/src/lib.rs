//! The Redis-speaking shell around [`replica`]: sockets, disk, threads - and no opinion about merging.
//!
//! ```text
//! connection --command--> worker (one core each) --batch--> disk (group commit)
//!     ^                       |   ^                           |
//!     |---- reply in order ---|   |---- flushed --------------|
//!                             |--messages--> peer links <--> other nodes
//! ```
//! [`http`] makes commands of HTTP's requests.
#![forbid(unsafe_code)]

pub mod acl;
pub mod buckets;
pub mod clients;
pub mod command;
pub mod config;
pub mod configuration;
pub mod connection;
pub mod cursors;
pub mod demo;
pub mod disk;
pub mod drain;
pub mod dump;
pub mod engine;
pub mod error;
pub mod fault;
pub mod gather;
pub mod geo;
pub mod glob;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod latency;
pub mod logs;
pub mod merges;
pub mod metrics;
pub mod monitors;
pub mod nameplate;
pub mod node;
pub mod notifications;
mod pace;
pub mod peer;
pub mod place;
pub mod procedures;
pub mod pubsub;
pub mod recovery;
pub mod resp;
pub mod scripts;
mod scrubs;
pub mod seen;
pub mod session;
pub mod slow_log;
pub mod stream;
pub mod supervisor;
pub mod tls;
pub mod token;
pub mod tools;
pub mod tracking;
pub mod waiting;
pub mod worker;
