//! Two processes, one text.
//!
//! ```console
//! $ cargo run -p crdt --example typing -- listen 127.0.0.1:7171 ann
//! $ cargo run -p crdt --example typing -- connect 127.0.0.1:7171 bob      # in another terminal
//! ```
//!
//! Then, in either: `insert 0 Hello`, `remove 0..2`, `show`, `offline`, `online`, `quit`. Without arguments it starts both
//! processes itself and has them type at the same spot at the same time.
//!
//! What goes over the socket are frames: the length in four bytes, big endian, then the bytes of a delta: one edit,
//! or everything. Whoever comes online sends all it has; deltas that came before do no harm.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use causal::Minter;
use crdt::{Delta, Replica, State, Text};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Shared = Text<String>;

/// The longest frame that is accepted.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

enum News {
    Typed(String),
    Frame(Vec<u8>),
    Closed,
}

fn send(socket: &mut TcpStream, delta: &Delta<Shared>) -> Outcome<()> {
    let bytes = delta.to_bytes();
    socket.write_all(&u32::try_from(bytes.len())?.to_be_bytes())?;
    Ok(socket.write_all(&bytes)?)
}

fn read_frame(socket: &mut TcpStream) -> Outcome<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(format!("a frame of {length} bytes; {MAX_FRAME_BYTES} are allowed").into());
    }
    let mut frame = vec![0; length];
    socket.read_exact(&mut frame)?;
    Ok(frame)
}

fn listen_to(mut socket: TcpStream, news: &Sender<News>) {
    while let Ok(frame) = read_frame(&mut socket) {
        if news.send(News::Frame(frame)).is_err() {
            return;
        }
    }
    let _ = news.send(News::Closed);
}

fn range(text: &str) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// One of the two processes.
fn edit(name: &str, mut socket: TcpStream) -> Outcome<()> {
    let (sender, news) = channel();
    let (from_socket, from_keyboard) = (socket.try_clone()?, sender.clone());
    thread::spawn(move || listen_to(from_socket, &sender));
    thread::spawn(move || {
        let mut lines = std::io::stdin().lines().map_while(Result::ok);
        lines.try_for_each(|line| from_keyboard.send(News::Typed(line)))
    });

    let mut text = Replica::<Shared>::new(Minter::once(name.to_owned()));
    let (mut is_online, mut held_back) = (true, Vec::new());
    for event in news {
        match event {
            News::Closed => return Ok(()),
            News::Frame(frame) if is_online => text.apply(&Delta::from_bytes(&frame)?)?,
            News::Frame(frame) => held_back.push(frame),
            News::Typed(line) => {
                let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
                let done = match (command, rest.split_once(' ')) {
                    ("insert", Some((at, new))) => match at.parse() {
                        Ok(at) => Some(text.edit(|text| text.insert(at, new))),
                        Err(_) => None,
                    },
                    ("remove", None) => range(rest).map(|range| text.edit(|text| text.remove(range))),
                    ("offline" | "online" | "show", None) => {
                        is_online = if command == "show" { is_online } else { command == "online" };
                        for frame in held_back.drain(..if is_online { held_back.len() } else { 0 }) {
                            text.apply(&Delta::from_bytes(&frame)?)?;
                        }
                        if command == "online" {
                            send(&mut socket, &text.state().diff(&State::<Shared>::new().digest()))?;
                        }
                        Some(Ok(Delta::default()))
                    }
                    ("quit", None) => return Ok(()),
                    _ => None,
                };
                match done {
                    Some(Ok(delta)) if is_online && !delta.is_empty() => send(&mut socket, &delta)?,
                    Some(Ok(_)) => {}
                    Some(Err(why)) => eprintln!("{name}: {why}"),
                    None => eprintln!("{name}: insert INDEX TEXT, remove FROM..TO, show, offline, online or quit"),
                }
                println!("{name}: {}", **text.state());
            }
        }
    }
    Ok(())
}

/// The other end of a process that was started here.
struct Editor {
    process: Child,
    keyboard: ChildStdin,
    screen: BufReader<ChildStdout>,
}

impl Editor {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let keyboard = process.stdin.take().ok_or("it has no input")?;
        let screen = BufReader::new(process.stdout.take().ok_or("it has no output")?);
        Ok(Self { process, keyboard, screen })
    }

    fn read(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.screen.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Types a line; what the process shows then.
    fn types(&mut self, line: &str) -> Outcome<String> {
        writeln!(self.keyboard, "{line}")?;
        self.read()
    }

    /// Waits until the text is this.
    fn waits_for(&mut self, text: &str) -> Outcome<String> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.types("show")?;
            if shown.ends_with(text) {
                return Ok(shown);
            }
            if Instant::now() > until {
                return Err(format!("{shown:?} does not become {text:?}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn demonstrate() -> Outcome<()> {
    let mut ann = Editor::start(&["listen", "127.0.0.1:0", "ann"])?;
    let address = ann.read()?.rsplit(' ').next().ok_or("it says no address")?.to_owned();
    let mut bob = Editor::start(&["connect", &address, "bob"])?;

    println!("{}", ann.types("insert 0 The fox jumps.")?);
    println!("{}", bob.waits_for("The fox jumps.")?);

    println!("-- both go offline, and type at the same spot --");
    ann.types("offline")?;
    bob.types("offline")?;
    for (at, letter) in "quick ".chars().enumerate() {
        ann.types(&format!("insert {} {letter}", 4 + at))?;
    }
    for (at, letter) in "brown ".chars().enumerate() {
        bob.types(&format!("insert {} {letter}", 4 + at))?;
    }
    println!("{}", ann.types("show")?);
    println!("{}", bob.types("remove 13..19")?);

    println!("-- online again --");
    ann.types("online")?;
    bob.types("online")?;
    println!("{}", ann.waits_for("The quick brown fox.")?);
    println!("{}", bob.waits_for("The quick brown fox.")?);
    writeln!(ann.keyboard, "quit")?;
    ann.process.wait()?;
    bob.process.wait()?;
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate(),
        ["listen", address, name] => {
            let listener = TcpListener::bind(address)?;
            println!("{name} listens on {}", listener.local_addr()?);
            edit(name, listener.accept()?.0)
        }
        ["connect", address, name] => edit(name, TcpStream::connect(address)?),
        _ => Err("usage: typing [listen ADDRESS NAME | connect ADDRESS NAME]".into()),
    }
}
