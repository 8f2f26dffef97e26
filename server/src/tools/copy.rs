//! Keys of a running server as commands that make them: from server to server (`dotted import`), into a file (`dotted backup`),
//! and back (`dotted restore`).
//!
//! A backup is what redis-cli `--pipe` takes, in the protocol's own words, with a last command that no server minds:
//! `ECHO "dotted-backup 1 <keys> <CRC32 of all before, hexadecimal>"`. Restored, every write gets dots of the cluster it comes into:
//! no dot of the old one is ever used again. Siblings of strings are kept; of fields and entries, the shown one.
//!
//! The server goes on meanwhile: what changes while it is read may be taken or not, and keys are not of one moment.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use crate::error::Error;
use crate::tools::client::{Address, Client, ServerOptions, Words, bytes, encode, items, named, number, text, words};
use crate::tools::progress::bar;
use crate::tools::tls::Trust;

/// How many keys are looked at together.
const PAGE_KEYS: usize = 64;
/// How many members, fields, elements or entries are read, and written, together.
const PAGE_ITEMS: &[u8] = b"1000";
/// How much is sent before the answers are waited for.
const SEND_BYTES: usize = 1024 * 1024;
const KEYS_DONE: &str = "{pos}/{len} keys, {per_sec}, {eta} left";
const MARK: &str = "dotted-backup 1";

/// The flags of `dotted import`.
#[derive(Args, Clone, Debug)]
pub struct ImportOptions {
    /// Where the keys are: a Redis, or another Dotted. HOST:PORT, or redis://user:password@host:port; rediss:// by TLS.
    pub from: Address,
    /// The authority that vouches for that server, where it is another than --tls-ca (PEM).
    #[arg(long, value_name = "FILE")]
    from_tls_ca: Option<PathBuf>,
    /// The name in that server's certificate [default: the host in its address].
    #[arg(long, value_name = "NAME")]
    from_tls_name: Option<String>,
    #[command(flatten)]
    to: ServerOptions,
    /// Only keys that match this pattern.
    #[arg(long, value_name = "PATTERN")]
    matching: Option<String>,
    /// Replace keys that are there already, in place of leaving them.
    #[arg(long)]
    replace: bool,
}

/// The flags of `dotted backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupOptions {
    /// The file to write; one that is there already is replaced once the new one is whole.
    pub file: PathBuf,
    #[command(flatten)]
    from: ServerOptions,
    /// Only keys that match this pattern.
    #[arg(long, value_name = "PATTERN")]
    matching: Option<String>,
}

/// The flags of `dotted restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreOptions {
    /// The backup.
    pub file: PathBuf,
    #[command(flatten)]
    to: ServerOptions,
    /// Restore though the server has keys: each key of the backup replaces the one there.
    #[arg(long)]
    replace: bool,
}

/// What came of copying.
#[derive(Default)]
struct Outcome {
    copied: u64,
    there_already: u64,
    /// Of types that no command makes.
    left: u64,
}

impl Outcome {
    fn tell(&self, what: &str) {
        let mut said = format!("{} keys {what}", self.copied);
        if self.there_already > 0 {
            said += &format!("; {} were there already and were left (--replace)", self.there_already);
        }
        if self.left > 0 {
            said += &format!("; {} have types that cannot be copied", self.left);
        }
        // Nobody may be reading.
        let _ = writeln!(std::io::stdout(), "{said}");
    }
}

/// Where commands go that make keys.
trait Sink {
    /// Begins a key; false: it is to be left.
    fn begin(&mut self, key: &[u8]) -> Result<bool, Error>;
    fn put(&mut self, command: Words) -> Result<(), Error>;
}

/// Copies keys of one server to another.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Answer`].
pub fn import(options: &ImportOptions) -> Result<(), Error> {
    let (ca, name) = (options.from_tls_ca.clone(), options.from_tls_name.clone());
    // What is said of the other end holds for this one too, if it is by TLS.
    let shared = if options.from.is_by_tls() { options.to.trust.clone() } else { Trust::default() };
    let trust = Trust { tls_ca: ca.or_else(|| shared.tls_ca.clone()), tls_name: name, ..shared };
    let mut from = Client::connect(&options.from.clone().trusting(&trust)?)?;
    let mut to = ToServer { client: options.to.connect()?, replaces: options.replace, waiting: Vec::new(), bytes: 0 };
    let outcome = copy(&mut from, options.matching.as_deref(), &mut to)?;
    to.send()?;
    outcome.tell("imported");
    Ok(())
}

/// Writes the keys of a server into a file.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Answer`], [`Error::File`].
pub fn backup(options: &BackupOptions) -> Result<(), Error> {
    let mut from = options.from.connect()?;
    let partial = options.file.with_added_extension("partial");
    let failed = |why| Error::File(partial.clone(), why);
    let file = File::create(&partial).map_err(failed)?;
    let mut to = ToFile { out: BufWriter::new(file), path: partial.clone(), sum: crc32fast::Hasher::new() };
    let outcome = copy(&mut from, options.matching.as_deref(), &mut to)?;
    let mark = format!("{MARK} {} {:08x}", outcome.copied, to.sum.clone().finalize());
    to.put(words([&b"ECHO"[..], mark.as_bytes()]))?;
    let file = to.out.into_inner().map_err(|why| failed(why.into_error()))?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, &options.file).map_err(|why| Error::File(options.file.clone(), why))?;
    outcome.tell("saved");
    Ok(())
}

/// Sends what a backup says to a server, once the whole of it has been looked at.
///
/// # Errors
/// [`Error::NotABackup`] if it is damaged or cut off; nothing was sent then. [`Error::NotEmpty`] if the server has keys.
pub fn restore(options: &RestoreOptions) -> Result<(), Error> {
    let keys = read_backup(&options.file, &mut |_| Ok(()))?;
    let mut client = options.to.connect()?;
    let there = number(&client.call(&words([&b"DBSIZE"[..]]))?);
    if there > 0 && !options.replace {
        return Err(Error::NotEmpty { address: options.to.node.to_string(), keys: there.unsigned_abs() });
    }
    let bar = bar(keys, KEYS_DONE);
    let mut to = ToServer { client, replaces: true, waiting: Vec::new(), bytes: 0 };
    let mut last = Vec::new();
    read_backup(&options.file, &mut |command| {
        if command[1] != last {
            last.clone_from(&command[1]);
            to.begin(&last)?;
            bar.inc(1);
        }
        to.put(command)
    })?;
    to.send()?;
    bar.finish_and_clear();
    Outcome { copied: keys, ..Outcome::default() }.tell("restored");
    Ok(())
}

/// Visits the commands of a backup; how many keys it has.
fn read_backup(path: &Path, visit: &mut dyn FnMut(Words) -> Result<(), Error>) -> Result<u64, Error> {
    let failed = |why| Error::File(path.to_owned(), why);
    let not_one = |why: &str| Error::NotABackup { path: path.to_owned(), why: why.to_owned() };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let (mut unread, mut sum, mut chunk) = (Vec::new(), crc32fast::Hasher::new(), vec![0; SEND_BYTES]);
    loop {
        let read = file.read(&mut chunk).map_err(failed)?;
        unread.extend_from_slice(&chunk[..read]);
        let mut done = 0;
        while let Some((frame, used)) = decode(&unread[done..]).map_err(|_| not_one("it is no list of commands"))? {
            let command: Words = items(&frame).iter().map(|word| bytes(word).to_vec()).collect();
            let whole = &unread[done..done + used];
            done += used;
            let is_mark = command.len() == 2 && command[0] == b"ECHO";
            if is_mark {
                let said = String::from_utf8_lossy(&command[1]).into_owned();
                let keys = said.strip_prefix(MARK).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                let keys = keys.ok_or_else(|| not_one("its last command is of another version"))?;
                if said != format!("{MARK} {keys} {:08x}", sum.finalize()) {
                    return Err(not_one("its checksum is wrong"));
                }
                let rest = file.read(&mut chunk).map_err(failed)?;
                return if done == unread.len() && rest == 0 { Ok(keys) } else { Err(not_one("more follows its end")) };
            }
            if command.len() < 3 {
                return Err(not_one("a command in it makes no key"));
            }
            sum.update(whole);
            visit(command)?;
        }
        unread.drain(..done);
        if read == 0 {
            return Err(not_one("it is cut off"));
        }
    }
}

struct ToServer {
    client: Client,
    replaces: bool,
    waiting: Vec<Words>,
    bytes: usize,
}

impl ToServer {
    fn send(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        self.client.ask(&std::mem::take(&mut self.waiting)).map(drop)
    }
}

impl Sink for ToServer {
    fn begin(&mut self, key: &[u8]) -> Result<bool, Error> {
        if self.replaces {
            self.put(words([&b"DEL"[..], key]))?;
            return Ok(true);
        }
        // What was sent for another key may be this one's.
        self.send()?;
        Ok(number(&self.client.call(&words([&b"EXISTS"[..], key]))?) == 0)
    }

    fn put(&mut self, command: Words) -> Result<(), Error> {
        self.bytes += command.iter().map(Vec::len).sum::<usize>();
        self.waiting.push(command);
        if self.bytes >= SEND_BYTES || self.waiting.len() >= 512 { self.send() } else { Ok(()) }
    }
}

struct ToFile {
    out: BufWriter<File>,
    path: PathBuf,
    sum: crc32fast::Hasher,
}

impl Sink for ToFile {
    fn begin(&mut self, _: &[u8]) -> Result<bool, Error> {
        Ok(true)
    }

    fn put(&mut self, command: Words) -> Result<(), Error> {
        let mut encoded = Vec::new();
        encode(&command, &mut encoded);
        self.sum.update(&encoded);
        self.out.write_all(&encoded).map_err(|why| Error::File(self.path.clone(), why))
    }
}

fn copy(from: &mut Client, matching: Option<&str>, to: &mut dyn Sink) -> Result<Outcome, Error> {
    let keys = number(&from.call(&words([&b"DBSIZE"[..]]))?);
    let bar = bar(keys.unsigned_abs(), KEYS_DONE);
    let mut source = Source { conflicts: conflicts(from)?, from, taken: HashSet::new() };
    let (mut outcome, mut cursor) = (Outcome::default(), b"0".to_vec());
    loop {
        let mut scan = words([&b"SCAN"[..], &cursor, b"COUNT", b"1000"]);
        scan.extend(matching.iter().flat_map(|pattern| [b"MATCH".to_vec(), pattern.as_bytes().to_vec()]));
        let page = source.from.call(&scan)?;
        let [next, found] = items(&page) else { break };
        cursor = bytes(next).to_vec();
        let keys: Vec<&[u8]> = items(found).iter().map(bytes).collect();
        for keys in keys.chunks(PAGE_KEYS) {
            source.copy(keys, to, &mut outcome)?;
            bar.inc(keys.len() as u64);
        }
        if cursor == b"0" {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(outcome)
}

/// Keys with siblings, if the server is one that keeps them.
fn conflicts(from: &mut Client) -> Result<HashSet<Vec<u8>>, Error> {
    let mut conflicts = HashSet::new();
    if !text(&from.call(&words([&b"INFO"[..], b"server"]))?).contains("dotted_version:") {
        return Ok(conflicts);
    }
    let mut cursor = b"0".to_vec();
    loop {
        let page = from.call(&words([&b"DOT.CONFLICTS"[..], &cursor, b"COUNT", b"10000"]))?;
        let [next, found] = items(&page) else { return Ok(conflicts) };
        conflicts.extend(items(found).iter().map(|key| bytes(key).to_vec()));
        cursor = bytes(next).to_vec();
        if cursor == b"0" {
            return Ok(conflicts);
        }
    }
}

struct Source<'c> {
    from: &'c mut Client,
    conflicts: HashSet<Vec<u8>>,
    /// Keys that would be longer if they came twice: a scan may show a key again.
    taken: HashSet<Vec<u8>>,
}

impl Source<'_> {
    fn copy(&mut self, keys: &[&[u8]], to: &mut dyn Sink, outcome: &mut Outcome) -> Result<(), Error> {
        let asked = keys.iter().flat_map(|key| [words([&b"TYPE"[..], key]), words([&b"PTTL"[..], key])]);
        let told = self.from.ask(&asked.collect::<Vec<_>>())?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        for (key, told) in keys.iter().zip(told.chunks_exact(2)) {
            let (kind, ttl_ms) = (text(&told[0]), number(&told[1]));
            match kind.as_str() {
                // It has gone since it was listed.
                "none" => continue,
                "string" | "hash" | "set" | "zset" | "list" | "stream" => {}
                _ => {
                    outcome.left += 1;
                    continue;
                }
            }
            if matches!(kind.as_str(), "list" | "stream") && !self.taken.insert(key.to_vec()) {
                continue;
            }
            if !to.begin(key)? {
                outcome.there_already += 1;
                continue;
            }
            match kind.as_str() {
                "string" => self.string(key, to)?,
                "hash" => self.scanned(b"HSCAN", b"HSET", key, to)?,
                "set" => self.scanned(b"SSCAN", b"SADD", key, to)?,
                "zset" => self.scanned(b"ZSCAN", b"ZADD", key, to)?,
                "list" => self.list(key, to)?,
                _ => self.stream(key, to)?,
            }
            if ttl_ms > 0 {
                let at_ms = (now_ms + ttl_ms).to_string();
                to.put(words([&b"PEXPIREAT"[..], key, at_ms.as_bytes()]))?;
            }
            outcome.copied += 1;
        }
        Ok(())
    }

    fn string(&mut self, key: &[u8], to: &mut dyn Sink) -> Result<(), Error> {
        if self.conflicts.contains(key) {
            let found = self.from.call(&words([&b"DOT.GET"[..], key]))?;
            let siblings = named(&found, "siblings").map_or(&[][..], items).iter();
            let values: Vec<&[u8]> = siblings.filter_map(|sibling| named(sibling, "value").map(bytes)).collect();
            if let [first, others @ ..] = &values[..]
                && !others.is_empty()
            {
                let count = others.len().to_string();
                let also = [&b"ALSO"[..], count.as_bytes()].into_iter().chain(others.iter().copied());
                return to.put(words([&b"DOT.SET"[..], key, b"-", first].into_iter().chain(also)));
            }
        }
        match self.from.call(&words([&b"GET"[..], key]))? {
            OwnedFrame::Null => Ok(()),
            value => to.put(words([&b"SET"[..], key, bytes(&value)])),
        }
    }

    /// Hashes, sets and sorted sets, in the pages of their scans.
    fn scanned(&mut self, scan: &[u8], put: &[u8], key: &[u8], to: &mut dyn Sink) -> Result<(), Error> {
        let mut cursor = b"0".to_vec();
        loop {
            let page = self.from.call(&words([scan, key, &cursor, b"COUNT", PAGE_ITEMS]))?;
            let [next, found] = items(&page) else { return Ok(()) };
            let mut parts: Vec<&[u8]> = items(found).iter().map(bytes).collect();
            if put == b"ZADD" {
                // A scan shows a member before its score, which is written before it.
                parts.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
            }
            if !parts.is_empty() {
                to.put(words([put, key].into_iter().chain(parts)))?;
            }
            cursor = bytes(next).to_vec();
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    fn list(&mut self, key: &[u8], to: &mut dyn Sink) -> Result<(), Error> {
        for page in 0_u64.. {
            let (first, last) = ((page * 1_000).to_string(), (page * 1_000 + 999).to_string());
            let found = self.from.call(&words([&b"LRANGE"[..], key, first.as_bytes(), last.as_bytes()]))?;
            let elements: Vec<&[u8]> = items(&found).iter().map(bytes).collect();
            if !elements.is_empty() {
                to.put(words([&b"RPUSH"[..], key].into_iter().chain(elements.iter().copied())))?;
            }
            if elements.len() < 1_000 {
                break;
            }
        }
        Ok(())
    }

    fn stream(&mut self, key: &[u8], to: &mut dyn Sink) -> Result<(), Error> {
        let mut from = b"-".to_vec();
        loop {
            let found = self.from.call(&words([&b"XRANGE"[..], key, &from, b"+", b"COUNT", PAGE_ITEMS]))?;
            for entry in items(&found) {
                let [id, fields] = items(entry) else { continue };
                let parts = items(fields).iter().map(bytes);
                to.put(words([&b"XADD"[..], key, bytes(id)].into_iter().chain(parts)))?;
                from = [b"(", bytes(id)].concat();
            }
            if items(&found).len() < 1_000 {
                return Ok(());
            }
        }
    }
}
