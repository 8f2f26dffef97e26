//! The wire: requests in, replies out, in the Redis serialization protocol.
//!
//! [`Scanner`] finds the next request in a connection's read buffer; [`Reply`]
//! is what a command answers, and knows its bytes in RESP2 and in RESP3.
//!
//! **Invariant.** What a peer sends costs time linear in the bytes it really
//! sent and memory within a small factor of them, however they are cut into
//! reads and whatever lengths they announce. Nothing here recurses over input.
//!
//! Why requests are not read with the `redis-protocol` crate, which serves
//! this project as test oracle, as client, and for key slots: requests never
//! nest, while a decoder of frames has to nest, so 32 KB of `*1\r\n` run it out
//! of stack, which aborts the process instead of closing one connection; it
//! reads a partial frame again from its first byte at every call, which makes
//! one long command quadratic in its number of reads; and it knows neither
//! inline commands, nor limits, nor the error texts that Redis' own clients
//! and tests look for.

mod cursor;
mod double;
mod encoder;
mod inline;
mod integer;
mod limits;
mod protocol;
mod protocol_error;
mod reply;
mod scanner;

pub use double::DoubleText;
pub use integer::{IntegerText, parse_integer};
pub use limits::{Access, Limits};
pub use protocol::Protocol;
pub use protocol_error::ProtocolError;
pub use reply::Reply;
pub use scanner::{Scan, Scanner};
