//! `dotted bench`: a load generator. It measures at the client, from when a command is sent until its answer is read.
//!
//! Each client has a connection, sends as many commands at once as `--pipeline` says, and waits for all their answers. All
//! clients share one thread: on a machine that runs the node as well, they take a core of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::tls::Duplex;
use crate::tools::client::{Address, ServerOptions, Words, encode, words};
use crate::tools::progress::bar;
use crate::tools::table::{Table, say};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client sends at once at most.
const PIPELINE_BYTES: u64 = 64 * 1024 * 1024;
/// What the names of all keys begin with.
const PREFIX: &str = "dotted-bench";
/// How many keys are written, or removed, at once before and after.
const PAGE_KEYS: u64 = 500;
/// Members of a set, fields of a hash, at most.
const MEMBERS: u64 = 1_000;
/// The longest time that is told apart from a longer one.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// A command that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measured {
    Ping,
    Set,
    Get,
    Incr,
    Lpush,
    Sadd,
    Hset,
    Zadd,
}

/// The flags of `dotted bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// What is measured, one after another.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["set", "get", "incr"])]
    commands: Vec<Measured>,
    /// How many connections.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    clients: u64,
    /// How many commands each sends at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pipeline: u64,
    /// How long each command is measured.
    #[arg(long, default_value_t = 5, conflicts_with = "requests", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How often each command is sent, in place of for how long.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: Option<u64>,
    /// How large a value is.
    #[arg(long, default_value_t = 16, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=crate::config::MAX_VALUE_BYTES))]
    value_bytes: u64,
    /// How many keys, taken at random.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    keys: u64,
    /// Leave the keys there, in place of removing them at the end.
    #[arg(long)]
    keep: bool,
    /// Print lines whose cells are separated by tabs.
    #[arg(long)]
    tsv: bool,
    #[command(flatten)]
    server: ServerOptions,
}

impl Measured {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What the keys it works on are called; nothing if it has none.
    fn family(self) -> Option<&'static str> {
        match self {
            Measured::Ping => None,
            Measured::Set | Measured::Get => Some("string"),
            Measured::Incr => Some("number"),
            Measured::Lpush => Some("list"),
            Measured::Sadd => Some("set"),
            Measured::Hset => Some("hash"),
            Measured::Zadd => Some("zset"),
        }
    }

    fn write(self, options: &BenchOptions, value: &[u8], out: &mut Vec<u8>) {
        let key = self.family().map(|family| key(family, fastrand::u64(..options.keys))).unwrap_or_default();
        let key = key.as_bytes();
        let member = fastrand::u64(..MEMBERS).to_string();
        let member = member.as_bytes();
        let command = match self {
            Measured::Ping => words([&b"PING"[..]]),
            Measured::Set => words([b"SET", key, value]),
            Measured::Get => words([b"GET", key]),
            Measured::Incr => words([b"INCR", key]),
            Measured::Lpush => words([b"LPUSH", key, value]),
            Measured::Sadd => words([b"SADD", key, member]),
            Measured::Hset => words([b"HSET", key, member, value]),
            Measured::Zadd => words([b"ZADD", key, member, member]),
        };
        encode(&command, out);
    }
}

fn key(family: &str, number: u64) -> String {
    format!("{PREFIX}:{family}:{number}")
}

/// What came of one command.
struct Outcome {
    micros: RefCell<Histogram<u64>>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    /// Still to be sent, if they are counted.
    left: Cell<u64>,
    ends: Instant,
    bar: ProgressBar,
}

impl Outcome {
    /// How many of these may be sent now.
    fn take(&self, wanted: u64) -> u64 {
        let taken = if Instant::now() < self.ends { wanted.min(self.left.get()) } else { 0 };
        self.left.set(self.left.get() - taken);
        taken
    }

    fn note(&self, answer: &OwnedFrame, took: Duration) {
        if let OwnedFrame::Error(why) = answer {
            self.errors.set(self.errors.get() + 1);
            self.first_error.borrow_mut().get_or_insert_with(|| why.clone());
        }
        self.micros.borrow_mut().saturating_record(took.as_micros() as u64);
    }
}

/// Measures, and prints what it was.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Answer`]; [`Error::NotWell`] if commands were refused.
pub fn bench(options: &BenchOptions) -> Result<(), Error> {
    if options.pipeline * options.value_bytes > PIPELINE_BYTES {
        return Err(Error::NotWell(format!(
            "{} commands of {} bytes at once are more than {PIPELINE_BYTES} bytes: choose a smaller --pipeline or --value-bytes",
            options.pipeline, options.value_bytes
        )));
    }
    let address = options.server.address()?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let mut table =
        Table::new(["COMMAND", "REQUESTS", "ERRORS", "PER SECOND", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS"]);
    let mut refused = None;
    let measured = LocalSet::new().block_on(&runtime, async {
        let mut connection = Connection::to(&address).await?;
        let mut written = false;
        for command in &options.commands {
            // A read of a key that is not there would tell nothing of reads.
            if *command == Measured::Get && !written {
                connection.fill(options).await?;
            }
            written |= matches!(command, Measured::Get);
            let began = Instant::now();
            let outcome = measure(*command, options, &address).await?;
            table.row(row(*command, &outcome, began.elapsed()));
            refused = refused.take().or(outcome.first_error.take().map(|why| (command.name(), why)));
        }
        if options.keep { Ok(()) } else { connection.remove(options).await }
    });
    if table.rows() == 0 {
        // The error says why.
    } else if options.tsv {
        say(table.tab_separated());
    } else {
        say(format_args!(
            "{} clients, pipelines of {}, values of {} bytes, {} keys\n{table}",
            options.clients, options.pipeline, options.value_bytes, options.keys
        ));
    }
    measured?;
    match refused {
        Some((command, why)) => Err(Error::NotWell(format!("{command} was refused, the first time with: {why}"))),
        None => Ok(()),
    }
}

fn row(command: Measured, outcome: &Outcome, took: Duration) -> [String; 8] {
    let micros = outcome.micros.borrow();
    let ms = |micros: u64| format!("{:.3}", micros as f64 / 1_000.0);
    let quantile = |at: f64| ms(micros.value_at_quantile(at));
    [
        command.name(),
        micros.len().to_string(),
        outcome.errors.get().to_string(),
        format!("{:.0}", micros.len() as f64 / took.as_secs_f64()),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        ms(micros.max()),
    ]
}

async fn measure(command: Measured, options: &BenchOptions, address: &Address) -> Result<Rc<Outcome>, Error> {
    // Everybody is connected before the first begins.
    let mut connections = Vec::new();
    for _ in 0..options.clients {
        connections.push(Connection::to(address).await?);
    }
    let length = options.requests.unwrap_or(options.seconds * 1_000);
    let unit = if options.requests.is_some() { "{pos}/{len} requests" } else { "{elapsed}" };
    let micros = Histogram::new_with_bounds(1, LONGEST_MICROS, 3);
    let micros = micros.map_err(|why| Error::NotWell(format!("times cannot be counted: {why}")))?;
    let began = Instant::now();
    let outcome = Rc::new(Outcome {
        micros: RefCell::new(micros),
        errors: Cell::new(0),
        first_error: RefCell::default(),
        left: Cell::new(options.requests.unwrap_or(u64::MAX)),
        ends: began + if options.requests.is_some() { PATIENCE * 1_440 } else { Duration::from_secs(options.seconds) },
        bar: bar(length, &format!("{} {unit} {{msg}}", command.name())),
    });
    let mut clients = JoinSet::new();
    for connection in connections {
        clients.spawn_local(run(command, options.clone(), connection, Rc::clone(&outcome)));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap_or_else(|why| Err(Error::NotWell(format!("a client has failed: {why}"))))?;
    }
    outcome.bar.finish_and_clear();
    Ok(outcome)
}

async fn run(
    command: Measured,
    options: BenchOptions,
    mut connection: Connection,
    outcome: Rc<Outcome>,
) -> Result<(), Error> {
    let value: Vec<u8> = (0..options.value_bytes).map(|_| fastrand::alphanumeric() as u8).collect();
    let (mut out, began) = (Vec::new(), Instant::now());
    loop {
        let count = outcome.take(options.pipeline);
        if count == 0 {
            return Ok(());
        }
        out.clear();
        (0..count).for_each(|_| command.write(&options, &value, &mut out));
        let sent = Instant::now();
        connection.send(&out, count, |answer| outcome.note(answer, sent.elapsed())).await?;
        if options.requests.is_some() {
            outcome.bar.inc(count);
        } else {
            outcome.bar.set_position(began.elapsed().as_millis() as u64);
        }
    }
}

struct Connection {
    stream: Box<dyn Duplex>,
    unread: Vec<u8>,
    address: String,
}

impl Connection {
    async fn to(address: &Address) -> Result<Self, Error> {
        let failed = |why| Error::Unreachable(address.to_string(), why);
        let stream = TcpStream::connect(address.place()).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Duplex> = match address.tls()? {
            Some((config, name)) => Box::new(TlsConnector::from(config).connect(name, stream).await.map_err(failed)?),
            None => Box::new(stream),
        };
        let mut connection = Self { stream, unread: Vec::new(), address: address.to_string() };
        if let Some(login) = address.login() {
            connection.carry_out(&[login]).await?;
        }
        Ok(connection)
    }

    /// Sends so many commands, and hands over each answer as it comes.
    async fn send(&mut self, commands: &[u8], count: u64, mut note: impl FnMut(&OwnedFrame)) -> Result<(), Error> {
        let address = self.address.clone();
        let failed = |why| Error::Unreachable(address.clone(), why);
        let late = |_| failed(std::io::ErrorKind::TimedOut.into());
        timeout(PATIENCE, self.stream.write_all(commands)).await.map_err(late)?.map_err(failed)?;
        timeout(PATIENCE, self.stream.flush()).await.map_err(late)?.map_err(failed)?;
        let (mut missing, mut done) = (count, 0);
        while missing > 0 {
            match decode(&self.unread[done..]) {
                Ok(Some((answer, used))) => {
                    done += used;
                    missing -= 1;
                    note(&answer);
                    continue;
                }
                Ok(None) => {}
                Err(why) => return Err(failed(std::io::Error::other(format!("what it says is no RESP ({why})")))),
            }
            self.unread.drain(..done);
            done = 0;
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.map_err(late)?;
            if read.map_err(failed)? == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.unread.drain(..done);
        Ok(())
    }

    async fn carry_out(&mut self, commands: &[Words]) -> Result<(), Error> {
        let mut out = Vec::new();
        commands.iter().for_each(|command| encode(command, &mut out));
        let mut refused = None;
        let note = |answer: &OwnedFrame| {
            if let OwnedFrame::Error(why) = answer {
                refused.get_or_insert_with(|| why.clone());
            }
        };
        self.send(&out, commands.len() as u64, note).await?;
        let command = commands.first().and_then(|command| command.first()).cloned().unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        refused.map_or(Ok(()), |why| Err(Error::Answer { address: self.address.clone(), command, why }))
    }

    /// Makes every key that GET may ask for.
    async fn fill(&mut self, options: &BenchOptions) -> Result<(), Error> {
        let value = vec![b'x'; options.value_bytes as usize];
        let at_once = (PIPELINE_BYTES / options.value_bytes.max(1)).clamp(1, PAGE_KEYS);
        let set = |number| words([b"SET", key("string", number).as_bytes(), &value]);
        self.pages(options.keys, at_once, "keys are written", set).await
    }

    /// Removes every key of every family that was measured.
    async fn remove(&mut self, options: &BenchOptions) -> Result<(), Error> {
        let mut families: Vec<&str> = options.commands.iter().filter_map(|command| command.family()).collect();
        families.sort_unstable();
        families.dedup();
        for family in families {
            let unlink = |number| words([b"UNLINK", key(family, number).as_bytes()]);
            self.pages(options.keys, PAGE_KEYS, "keys are removed", unlink).await?;
        }
        Ok(())
    }

    async fn pages(
        &mut self,
        keys: u64,
        at_once: u64,
        what: &str,
        command: impl Fn(u64) -> Words,
    ) -> Result<(), Error> {
        let bar = bar(keys, &format!("{{pos}}/{{len}} {what}"));
        let mut first = 0;
        while first < keys {
            let last = keys.min(first + at_once);
            self.carry_out(&(first..last).map(&command).collect::<Vec<_>>()).await?;
            bar.inc(last - first);
            first = last;
        }
        bar.finish_and_clear();
        Ok(())
    }
}
